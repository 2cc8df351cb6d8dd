# Splitting binary COPY and digesting its rows: what `decode.TupleReader`, `canonical.py` and `digest.TableDigest` mean.

ctypedef struct Hash128:
    uint64_t low
    uint64_t high

ctypedef Hash128 (*hash128_type)(const void *, size_t) noexcept nogil
ctypedef uint64_t (*hash64_type)(const void *, size_t) noexcept nogil

ctypedef struct Field:
    const unsigned char *data
    int32_t size

cdef enum CanonicalForm:
    AS_IT_IS
    NUMBER
    PADDED
    DOCUMENT

cdef enum:
    SPLIT = 0
    UNFINISHED = 1
    TRAILER = 2
    BAD_COUNT = 3
    BAD_LENGTH = 4

FORMS = {"numeric": NUMBER, "bpchar": PADDED, "jsonb": DOCUMENT}
cdef const char *SIGNATURE = b"PGCOPY\n\xff\r\n\x00"


cdef int split_row(const unsigned char *data, size_t size, int columns, Field *fields, size_t *end) noexcept nogil:
    """Find the fields of the tuple at the start; `end` is where the next one begins, or the field that is bad."""
    cdef size_t at = 2
    cdef int index, count
    cdef int32_t length
    if size < 2:
        return UNFINISHED
    count = (data[0] << 8) | data[1]
    if count != columns:
        end[0] = 2
        return TRAILER if count == 0xFFFF else BAD_COUNT
    for index in range(columns):
        if size - at < 4:
            return UNFINISHED
        length = <int32_t>get32(data + at)
        at += 4
        fields[index].size = length
        fields[index].data = data + at
        if length < 0:
            if length != -1:
                end[0] = <size_t>index
                return BAD_LENGTH
            continue
        if size - at < <size_t>length:
            return UNFINISHED
        at += <size_t>length
    end[0] = at
    return SPLIT


cdef int put_canonical(Field *field, int form, Buffer *to, Buffer *aside) noexcept nogil:
    """Append a payload in canonical form; the buffer has room for it. `aside` is for intermediate results."""
    cdef unsigned char *at = to.data + to.size
    cdef const unsigned char *data = field.data
    cdef int32_t size = field.size
    cdef int32_t first = 8
    cdef int32_t last = size
    if form == DOCUMENT:
        return put_jsonb(data, size, to, aside)
    if form == PADDED:
        while size and data[size - 1] == 32:
            size -= 1
    elif form == NUMBER:
        if size < 8 or size & 1 or ((data[0] << 8) | data[1]) * 2 != size - 8:
            return UNKNOWN
        while first < last and not data[last - 1] and not data[last - 2]:
            last -= 2
        while first < last and not data[first] and not data[first + 1]:
            first += 2
        memcpy(at, data, 6)
        if first == last and size > 8:
            memset(at, 0, 6)
        elif first > 8:
            put16(at + 2, <unsigned int>((data[2] << 8) | data[3]) - <unsigned int>((first - 8) // 2))
        if size > 8:
            put16(at, <unsigned int>((last - first) // 2))
        at[6], at[7] = 0, 0
        memcpy(at + 8, data + first, last - first)
        to.size += 8 + last - first
        return WRITTEN
    memcpy(at, data, size)
    to.size += size
    return WRITTEN


cdef class Digest:
    """The sums of `TableDigest`, for tuples of binary COPY.

    `hashes` are the addresses of XXH3_128bits and XXH3_64bits; `wires` the wire type of each column; `key` indexes of
    the key's columns. Rows whose canonical form it does not know are handed back.
    """

    cdef hash128_type hash128
    cdef hash64_type hash64
    cdef int columns
    cdef int buckets
    cdef int key_width
    cdef int *forms
    cdef int *key
    cdef Field *fields
    cdef Field *canonical
    cdef uint64_t *sums
    cdef uint64_t *counts
    cdef Buffer scratch
    cdef Buffer joined
    cdef Buffer held
    cdef bint started
    cdef readonly bint finished
    cdef readonly Py_ssize_t rows

    def __cinit__(self, tuple hashes not None, list wires not None, list key not None, int buckets):
        cdef int columns = len(wires)
        if buckets < 1 or not hashes[0] or not hashes[1]:
            raise ValueError("a digest needs buckets and hash functions")
        if not all(0 <= index < columns for index in key):
            raise ValueError("the key is not among the columns")
        self.hash128 = <hash128_type><size_t>hashes[0]
        self.hash64 = <hash64_type><size_t>hashes[1]
        self.columns, self.buckets, self.key_width = columns, buckets, len(key)
        self.forms = <int *>calloc(columns + 1, sizeof(int))
        self.key = <int *>calloc(len(key) + 1, sizeof(int))
        self.fields = <Field *>calloc(columns + 1, sizeof(Field))
        self.canonical = <Field *>calloc(columns + 1, sizeof(Field))
        self.sums = <uint64_t *>calloc(2 * <size_t>buckets, sizeof(uint64_t))
        self.counts = <uint64_t *>calloc(buckets, sizeof(uint64_t))
        if not (self.forms and self.key and self.fields and self.canonical and self.sums and self.counts):
            raise MemoryError
        for index, wire in enumerate(wires):
            self.forms[<int>index] = FORMS.get(wire, AS_IT_IS)
        for index, column in enumerate(key):
            self.key[<int>index] = column

    def __dealloc__(self):
        free(self.forms)
        free(self.key)
        free(self.fields)
        free(self.canonical)
        free(self.sums)
        free(self.counts)
        free(self.scratch.data)
        free(self.joined.data)
        free(self.held.data)

    def result(self):
        """Return the sums, modulo 2**128, and the counts of all buckets."""
        sums = [self.sums[2 * i] | (<object>self.sums[2 * i + 1] << 64) for i in range(self.buckets)]
        return sums, [self.counts[i] for i in range(self.buckets)]

    def add(self, const unsigned char[::1] data not None):
        """Digest whole tuples; return the rows handed back, as field payloads. ValueError when they are none."""
        cdef size_t at = 0
        handed = []
        if data.shape[0]:
            at = self.walk(&data[0], data.shape[0], handed)
        if at != <size_t>data.shape[0] or self.finished:
            raise ValueError("not whole tuples of binary COPY")
        return handed

    def feed(self, const unsigned char[::1] data not None):
        """Digest a piece of a binary COPY OUT stream; return the rows handed back. ValueError as of `TupleReader`."""
        cdef size_t size = data.shape[0]
        cdef size_t at = 0
        handed = []
        if not size:
            return handed
        if self.finished:
            raise ValueError("data after the trailer of a binary COPY")
        if not reserve(&self.held, size):
            raise MemoryError
        memcpy(self.held.data + self.held.size, &data[0], size)
        self.held.size += size
        if not self.started:
            at = self.skip_header()
        if self.started:
            at += self.walk(self.held.data + at, self.held.size - at, handed)
        self.held.size -= at
        memmove(self.held.data, self.held.data + at, self.held.size)
        if self.finished and self.held.size:
            raise ValueError("data after the trailer of a binary COPY")
        return handed

    cdef size_t skip_header(self) except? 0:
        cdef size_t end
        if self.held.size < 19:
            return 0
        if memcmp(self.held.data, SIGNATURE, 11) != 0:
            raise ValueError("not a binary COPY: the signature is missing")
        if get32(self.held.data + 11) & 0xFFFF0000u:
            raise ValueError(f"binary COPY with unknown flags {get32(self.held.data + 11):#x}")
        if get32(self.held.data + 15) >> 31:
            raise ValueError("binary COPY with a malformed header")
        end = 19 + <size_t>get32(self.held.data + 15)
        if self.held.size < end:
            return 0
        self.started = True
        return end

    cdef size_t walk(self, const unsigned char *data, size_t size, list handed) except? 0:
        """Digest the tuples; return how many bytes they are."""
        cdef size_t at = 0
        cdef size_t end = 0
        cdef int done = WRITTEN
        cdef int found = SPLIT
        while True:
            with nogil:
                while True:
                    found = split_row(data + at, size - at, self.columns, self.fields, &end)
                    if found != SPLIT:
                        break
                    done = self.add_row()
                    if done != WRITTEN:
                        break
                    at += end
            if found != SPLIT:
                break
            if done == NO_MEMORY:
                raise MemoryError
            handed.append(self.take_fields())
            at += end
        if found == BAD_COUNT:
            count = <int32_t>((data[at] << 8) | data[at + 1])
            count = count - 65536 if count > 32767 else count
            raise ValueError(f"binary COPY row of {count} fields where {self.columns} were expected")
        if found == BAD_LENGTH:
            raise ValueError(f"binary COPY field of length {self.fields[end].size}")
        if found == TRAILER:
            self.finished = True
            at += 2
        return at

    cdef tuple take_fields(self):
        return tuple([
            None if self.fields[i].size < 0
            else PyBytes_FromStringAndSize(<const char *>self.fields[i].data, self.fields[i].size)
            for i in range(self.columns)
        ])

    cdef int add_row(self) noexcept nogil:
        """Digest the fields found: lengths, then payloads, all canonical."""
        cdef size_t total = 4 * <size_t>self.columns
        cdef size_t before
        cdef int index, bucket
        cdef Hash128 hash
        cdef uint64_t low
        for index in range(self.columns):
            if self.fields[index].size > 0:
                total += self.fields[index].size
                if self.forms[index] == DOCUMENT:  # 1.5 becomes 15E-1
                    total += self.fields[index].size + 16
        self.scratch.size = 0
        if not reserve(&self.scratch, total):
            return NO_MEMORY
        self.scratch.size = 4 * <size_t>self.columns
        for index in range(self.columns):
            self.canonical[index].size = -1
            if self.fields[index].size >= 0:
                before = self.scratch.size
                if put_canonical(&self.fields[index], self.forms[index], &self.scratch, &self.joined) != WRITTEN:
                    return UNKNOWN
                self.canonical[index].data = self.scratch.data + before
                self.canonical[index].size = <int32_t>(self.scratch.size - before)
            put32(self.scratch.data + 4 * <size_t>index, <uint32_t>self.canonical[index].size)
        hash = self.hash128(self.scratch.data, self.scratch.size)
        bucket = self.bucket_of(hash)
        if bucket < 0:
            return NO_MEMORY
        low = self.sums[2 * bucket] + hash.low
        self.sums[2 * bucket + 1] += hash.high + (low < hash.low)
        self.sums[2 * bucket] = low
        self.counts[bucket] += 1
        self.rows += 1
        return WRITTEN

    cdef int bucket_of(self, Hash128 hash) noexcept nogil:
        """The bucket of the canonical key, or of the whole row's hash where there is none; -1: no memory."""
        cdef uint64_t modulus = self.buckets
        cdef uint64_t word
        cdef Field *field
        cdef int index
        if not self.key_width:
            word = (<uint64_t>-1 % modulus + 1) % modulus  # 2**64 % modulus
            return <int>(((hash.high % modulus) * word + hash.low % modulus) % modulus)
        field = &self.canonical[self.key[0]]
        if self.key_width == 1 and field.size >= 0:
            return <int>(self.hash64(field.data, field.size) % modulus)
        self.joined.size = 0
        if not reserve(&self.joined, self.scratch.size):
            return -1
        for index in range(self.key_width):
            field = &self.canonical[self.key[index]]
            if field.size > 0:
                if not reserve(&self.joined, field.size):
                    return -1
                memcpy(self.joined.data + self.joined.size, field.data, field.size)
                self.joined.size += field.size
        return <int>(self.hash64(self.joined.data, self.joined.size) % modulus)
