# SQLite's C API, as far as the scanner needs it: prototypes by hand, addresses found at run time by the caller.
# Source: SQLite docs, "C-language Interface". No header and no linking: the process has one SQLite, Python's own.

ctypedef struct Api:
    int (*prepare_v2)(void *, const char *, int, void **, const char **) noexcept nogil
    int (*finalize)(void *) noexcept nogil
    int (*step)(void *) noexcept nogil
    int (*stmt_readonly)(void *) noexcept nogil
    int (*column_count)(void *) noexcept nogil
    void *(*column_value)(void *, int) noexcept nogil
    int (*value_type)(void *) noexcept nogil
    long long (*value_int64)(void *) noexcept nogil
    double (*value_double)(void *) noexcept nogil
    const unsigned char *(*value_text)(void *) noexcept nogil
    const unsigned char *(*value_blob)(void *) noexcept nogil
    int (*value_bytes)(void *) noexcept nogil
    int (*bind_int64)(void *, int, long long) noexcept nogil
    int (*bind_double)(void *, int, double) noexcept nogil
    int (*bind_text)(void *, int, const char *, int, void *) noexcept nogil
    int (*bind_blob)(void *, int, const char *, int, void *) noexcept nogil
    int (*bind_null)(void *, int) noexcept nogil
    const char *(*errmsg)(void *) noexcept nogil
    void *(*db_mutex)(void *) noexcept nogil
    void (*mutex_enter)(void *) noexcept nogil
    void (*mutex_leave)(void *) noexcept nogil


cdef enum:
    SQLITE_OK = 0
    SQLITE_NOMEM = 7
    SQLITE_MISUSE = 21
    SQLITE_ROW = 100
    SQLITE_DONE = 101
    SQLITE_INTEGER = 1
    SQLITE_FLOAT = 2
    SQLITE_TEXT = 3
    SQLITE_BLOB = 4
    SQLITE_NULL = 5

SYMBOLS = (
    "prepare_v2",
    "finalize",
    "step",
    "stmt_readonly",
    "column_count",
    "column_value",
    "value_type",
    "value_int64",
    "value_double",
    "value_text",
    "value_blob",
    "value_bytes",
    "bind_int64",
    "bind_double",
    "bind_text",
    "bind_blob",
    "bind_null",
    "errmsg",
    "db_mutex",
    "mutex_enter",
    "mutex_leave",
)


cdef class Library:
    """SQLite's functions. `addresses`: name as in SYMBOLS -> address; ValueError when one is missing."""

    cdef Api api

    def __init__(self, addresses):
        cdef void **place = <void **>&self.api
        if sizeof(Api) != len(SYMBOLS) * sizeof(void *):
            raise ValueError("SYMBOLS and Api do not match")
        for index, name in enumerate(SYMBOLS):
            address = <size_t>addresses.get(name, 0)
            if not address:
                raise ValueError(f"SQLite has no function {name}")
            place[<int>index] = <void *><size_t>address
