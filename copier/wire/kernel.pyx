# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The compiled page scanner: SQLite rows to binary COPY tuples without the GIL, and digests of such tuples.

It takes clean, common values only, and gives exactly the bytes of the reference path (`field.py`). A row with any other
value is handed over as Python values; the scanner never decides what such a value means.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.math cimport fabs, fma, isinf, rint, trunc
from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp, memcpy, memmove, memset

from copier.wire.cast_base import MAX_FIELD_BYTES, BrokenText

cdef enum:
    # What became of one value: in the buffer; not one the scanner knows; no memory.
    WRITTEN = 0
    UNKNOWN = 1
    NO_MEMORY = 2

cdef enum Kind:
    BOOL
    INT2
    INT4
    INT8
    FLOAT4
    FLOAT8
    NUMERIC
    TEXT
    BYTEA
    UUID
    JSON
    JSONB
    INET
    CIDR
    TIMESTAMPTZ
    TIMESTAMP
    DATE
    TIME

cdef enum Form:
    PLAIN
    ISO
    EPOCH
    JULIAN

cdef size_t MAX_FIELD = MAX_FIELD_BYTES

ctypedef struct Column:
    Kind kind
    Form form
    long long low
    long long high
    long long unit_us
    long long max_chars
    int precision
    int scale
    int zoned

KINDS = {
    "bool": BOOL,
    "int2": INT2,
    "int4": INT4,
    "int8": INT8,
    "float4": FLOAT4,
    "float8": FLOAT8,
    "numeric": NUMERIC,
    "text": TEXT,
    "varchar": TEXT,
    "bpchar": TEXT,
    "bytea": BYTEA,
    "uuid": UUID,
    "json": JSON,
    "jsonb": JSONB,
    "inet": INET,
    "cidr": CIDR,
    "timestamptz": TIMESTAMPTZ,
    "timestamp": TIMESTAMP,
    "date": DATE,
    "time": TIME,
}
_UNITS_US = {"epoch_s": 1_000_000, "epoch_ms": 1000, "epoch_us": 1}
_INT_BITS = {"int2": 16, "int4": 32, "int8": 64}

include "kernel_sqlite.pxi"
include "kernel_buffer.pxi"
include "kernel_number.pxi"
include "kernel_time.pxi"
include "kernel_text.pxi"
include "kernel_json.pxi"
include "kernel_row.pxi"
include "kernel_jsonb.pxi"
include "kernel_digest.pxi"
include "kernel_keys.pxi"
include "kernel_forms.pxi"


class ScanError(Exception):
    """SQLite could not read on; the message is its own."""


cdef class Columns:
    """What the scanner knows of each column: (wire type, cast, type's arguments); ValueError for one it does not know."""

    cdef Column *list
    cdef readonly int count

    def __cinit__(self, specs):
        self.list = <Column *>malloc(max(1, len(specs)) * sizeof(Column))
        if self.list == NULL:
            raise MemoryError

    def __init__(self, specs):
        for wire, cast, args in specs:
            self.set_column(&self.list[self.count], wire, cast, args)
            self.count += 1

    def __dealloc__(self):
        free(self.list)

    cdef int set_column(self, Column *column, str wire, str cast, tuple args) except -1:
        if wire not in KINDS:
            raise ValueError(f"the scanner writes no {wire}")
        memset(column, 0, sizeof(Column))
        column.kind = <Kind><int>KINDS[wire]
        column.max_chars = ANY_LENGTH
        if wire in ("varchar", "bpchar"):
            column.max_chars = args[0] if args else 1 if wire == "bpchar" else ANY_LENGTH
        elif wire == "numeric" and args:
            column.precision = args[0]
            column.scale = args[1] if len(args) > 1 else 0
        elif wire in _INT_BITS:
            column.low = -(1 << (_INT_BITS[wire] - 1))
            column.high = (1 << (_INT_BITS[wire] - 1)) - 1
        elif column.kind >= TIMESTAMPTZ:
            column.zoned = wire == "timestamptz"
            column.form = JULIAN if cast == "julian" else EPOCH if cast in _UNITS_US else ISO
            if column.form == EPOCH:
                column.unit_us = _UNITS_US[cast]
                column.low = -((1 << 63) - 1) // _UNITS_US[cast] + 1
                column.high = ((1 << 63) - 1) // _UNITS_US[cast]
        return 0


cdef class Scanner:
    """Reads one table, page after page. One thread at a time."""

    cdef Library library
    cdef Columns columns
    cdef int key_width
    cdef size_t limit
    cdef Buffer out
    cdef Buffer spill
    cdef Buffer key
    cdef Buffer first
    cdef KeySet apart
    cdef Py_ssize_t read_rows
    cdef Py_ssize_t rows

    def __cinit__(self, Library library not None, Columns columns not None, int key_width, Py_ssize_t page_bytes):
        self.library = library
        self.columns = columns
        self.key_width = key_width
        self.limit = max(1, page_bytes)

    def __dealloc__(self):
        free(self.out.data)
        free(self.spill.data)
        free(self.key.data)
        free(self.first.data)
        free(self.apart.hashes)

    def set_apart(self, keys):
        """Hand over the rows with these keys, whatever their values are."""
        fill_keys(&self.apart, list(keys))

    def scan(self, size_t database, bytes sql not None, parameters, Digest digest=None):
        """Run a query of the columns followed by the key, on the open connection `database`, until a page is full.

        Returns (payload, rows read, rows in the payload, first key, last key, rows handed over as tuples of all
        columns and the key, whether there may be more). Raises ScanError with SQLite's message, MemoryError.
        Nothing of the query stays open. With a digest, rows are added to it instead of a payload; those it hands back,
        as field payloads, take the payload's place.
        """
        cdef Api *api = &self.library.api
        cdef void *db = <void *>database
        cdef void *statement = NULL
        cdef const char *text = PyBytes_AS_STRING(sql)
        cdef int code
        if db == NULL:
            raise ScanError("the connection is closed")
        self.empty()
        with nogil:
            code = api.prepare_v2(db, text, -1, &statement, NULL)
        try:
            if code != SQLITE_OK:
                raise self.error(db, code)
            if statement == NULL or not api.stmt_readonly(statement):
                raise ScanError("not a query")
            if api.column_count(statement) != self.columns.count + self.key_width:
                raise ScanError("the query has not the columns of the scanner")
            self.bind(db, statement, parameters)
            with nogil:
                api.mutex_enter(api.db_mutex(db))
                code = self.fill(statement)
                api.mutex_leave(api.db_mutex(db))
            if code != SQLITE_ROW and code != SQLITE_DONE:
                raise self.error(db, code)
            return self.page(code == SQLITE_ROW, digest)
        finally:
            api.finalize(statement)

    cdef int fill(self, void *statement) noexcept nogil:
        """Step until the page is full; return SQLITE_ROW when there may be more, SQLITE_DONE at the end, or an error."""
        cdef Api *api = &self.library.api
        cdef int count = self.columns.count
        cdef int code, done
        while self.out.size < self.limit and self.spill.size < self.limit and self.read_rows < MAX_PAGE_ROWS:
            code = api.step(statement)
            if code != SQLITE_ROW:
                return code
            if self.note_key(statement) != WRITTEN:
                return SQLITE_NOMEM
            done = UNKNOWN
            if not has_key(&self.apart, &self.key):
                done = write_row(api, statement, self.columns.list, count, &self.out)
            if done == UNKNOWN:
                done = spill_values(api, statement, 0, count + self.key_width, &self.spill)
            else:
                self.rows += 1
            if done == NO_MEMORY:
                return SQLITE_NOMEM
        return SQLITE_ROW

    cdef int note_key(self, void *statement) noexcept nogil:
        self.key.size = 0
        if spill_values(&self.library.api, statement, self.columns.count, self.key_width, &self.key) != WRITTEN:
            return NO_MEMORY
        self.read_rows += 1
        if self.read_rows == 1 and self.key.size:
            if not reserve(&self.first, self.key.size):
                return NO_MEMORY
            memcpy(self.first.data, self.key.data, self.key.size)
        return WRITTEN

    cdef tuple take_keys(self):
        """Return the first and the last key of the page."""
        cdef size_t at = 0
        if not self.read_rows:
            return (), ()
        first = take_row(&self.first, &at, self.key_width)
        at = 0
        return first, take_row(&self.key, &at, self.key_width)

    cdef object page(self, bint more, Digest digest):
        cdef size_t at = 0
        handed = []
        while at < self.spill.size:
            handed.append(take_row(&self.spill, &at, self.columns.count + self.key_width))
        first, last = self.take_keys()
        if digest is None:
            payload = PyBytes_FromStringAndSize(<const char *>self.out.data, self.out.size)
        else:
            payload = []
            if digest.walk(self.out.data, self.out.size, payload) != self.out.size:
                raise ValueError("the digest has not the columns of the scanner")
        found = payload, self.read_rows, self.rows, first, last, handed, more
        self.empty()
        return found

    cdef int bind(self, void *db, void *statement, parameters) except -1:
        cdef Api *api = &self.library.api
        cdef void *transient = <void *><Py_ssize_t>-1
        cdef int place, code
        for place, value in enumerate(parameters, 1):
            if value is None:
                code = api.bind_null(statement, place)
            elif isinstance(value, int):
                code = api.bind_int64(statement, place, value)
            elif isinstance(value, float):
                code = api.bind_double(statement, place, value)
            elif isinstance(value, str):
                raw = (<str>value).encode()
                code = api.bind_text(statement, place, PyBytes_AS_STRING(raw), <int>PyBytes_GET_SIZE(raw), transient)
            else:
                raw = bytes(value)
                code = api.bind_blob(statement, place, PyBytes_AS_STRING(raw), <int>PyBytes_GET_SIZE(raw), transient)
            if code != SQLITE_OK:
                raise self.error(db, code)
        return 0

    cdef object error(self, void *db, int code):
        if code == SQLITE_NOMEM:
            return MemoryError("SQLite has no memory")
        cdef const char *text = self.library.api.errmsg(db)
        return ScanError((<bytes>text).decode("utf-8", "replace") if text != NULL else f"SQLite error {code}")

    cdef void empty(self):
        self.read_rows = 0
        self.rows = 0
        empty(&self.out, self.limit * 4)
        empty(&self.spill, self.limit * 4)
        empty(&self.key, self.limit)
        empty(&self.first, self.limit)


cdef enum:
    MAX_PAGE_ROWS = 50000
    # Bounds the time of one call where rows are tiny.


include "kernel_parents.pxi"
include "kernel_survey.pxi"
include "kernel_profile.pxi"
