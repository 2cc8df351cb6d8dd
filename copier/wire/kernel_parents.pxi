# Keys of a parent table as a set of 64-bit hashes, to find rows whose parent is missing.
# Integers are told apart exactly. A missing text is overlooked with a chance of its parents' number in 2**64, and
# PostgreSQL checks the constraint itself.

ctypedef struct Keys:
    uint64_t *hashes
    size_t room
    size_t count
    uint64_t seed
    # A power of two; a hash of 0 is an empty place.

ctypedef struct ParentWatch:
    int column
    Keys *keys
    long long orphans
    int inexact


cdef inline uint64_t mix64(uint64_t value) noexcept nogil:
    """A bijection (the finalizer of SplitMix64)."""
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9ull
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBull
    return value ^ (value >> 31)


cdef uint64_t hash_bytes(const unsigned char *data, size_t size, uint64_t hash) noexcept nogil:
    cdef uint64_t word
    hash ^= size * 0x9E3779B97F4A7C15ull
    while size >= 8:
        memcpy(&word, data, 8)
        hash = (hash ^ word) * 0x9FB21C651E98DF25ull
        hash ^= hash >> 32
        data += 8
        size -= 8
    word = 0
    if size:
        memcpy(&word, data, size)
    return mix64(hash ^ word)


cdef inline size_t key_place(Keys *keys, uint64_t hash) noexcept nogil:
    cdef size_t at = hash & (keys.room - 1)
    while keys.hashes[at] and keys.hashes[at] != hash:
        at = (at + 1) & (keys.room - 1)
    return at


cdef int hash_value(Api *api, void *value, uint64_t seed, uint64_t *hash) noexcept nogil:
    """UNKNOWN for reals, which may equal integers."""
    cdef int kind = api.value_type(value)
    cdef const unsigned char *data
    cdef size_t size
    if kind == SQLITE_INTEGER:
        hash[0] = mix64(<uint64_t>api.value_int64(value) + seed)
    elif kind == SQLITE_FLOAT:
        return UNKNOWN
    else:
        data = api.value_text(value) if kind == SQLITE_TEXT else api.value_blob(value)
        size = api.value_bytes(value)
        if data == NULL and (size or kind == SQLITE_TEXT):
            return NO_MEMORY
        hash[0] = hash_bytes(data, size, seed ^ <uint64_t>kind)
    return WRITTEN


cdef int look_up(Api *api, ParentWatch *watch, void *value) noexcept nogil:
    cdef uint64_t hash = 0
    cdef int done
    if watch.inexact or api.value_type(value) == SQLITE_NULL:
        return WRITTEN
    done = hash_value(api, value, watch.keys.seed, &hash)
    if done == UNKNOWN or not hash:
        watch.inexact = 1
        return WRITTEN
    if done == WRITTEN:
        watch.orphans += watch.keys.room == 0 or watch.keys.hashes[key_place(watch.keys, hash)] == 0
    return done


cdef class ParentKeys(Scanner):
    """The keys of a parent, of one column. One `scan` loads them all; its result says nothing."""

    cdef Keys keys
    cdef size_t max_bytes
    cdef readonly bint complete

    @property
    def size_bytes(self):
        """Memory taken."""
        return self.keys.room * sizeof(uint64_t)

    def __dealloc__(self):
        free(self.keys.hashes)

    def limit_to(self, size_t max_bytes, unsigned long long seed):
        """Stop, incomplete, before more memory is taken; `seed`: any number, so that no file can aim at the hashes."""
        self.max_bytes, self.keys.seed = max_bytes, seed

    cdef int fill(self, void *statement) noexcept nogil:
        cdef Api *api = &self.library.api
        cdef void *value
        cdef uint64_t hash = 0
        cdef int code, done
        self.complete = 0
        while True:
            code = api.step(statement)
            if code != SQLITE_ROW:
                self.complete = code == SQLITE_DONE
                return code
            value = api.column_value(statement, 0)
            if api.value_type(value) == SQLITE_NULL:
                continue
            done = hash_value(api, value, self.keys.seed, &hash)
            if done == NO_MEMORY:
                return SQLITE_NOMEM
            if done == UNKNOWN or not hash:
                return SQLITE_DONE
            if self.keys.count * 5 >= self.keys.room * 3:
                done = self.grow_keys()
                if done != WRITTEN:
                    return SQLITE_NOMEM if done == NO_MEMORY else SQLITE_DONE
            self.keys.count += 1
            self.keys.hashes[key_place(&self.keys, hash)] = hash

    cdef int grow_keys(self) noexcept nogil:
        """Double the room; UNKNOWN where that is too much."""
        cdef Keys grown = self.keys
        cdef size_t at
        grown.room = self.keys.room * 2 if self.keys.room else 1024
        if grown.room * sizeof(uint64_t) > self.max_bytes:
            return UNKNOWN
        grown.hashes = <uint64_t *>calloc(grown.room, sizeof(uint64_t))
        if grown.hashes == NULL:
            return NO_MEMORY
        for at in range(self.keys.room):
            if self.keys.hashes[at]:
                grown.hashes[key_place(&grown, self.keys.hashes[at])] = self.keys.hashes[at]
        free(self.keys.hashes)
        self.keys = grown
        return WRITTEN
