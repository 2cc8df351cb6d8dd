# Keys of rows to hand over whatever their values are: a set of 64-bit hashes. A row too many is handed over at no harm.

ctypedef struct KeySet:
    uint64_t *hashes
    size_t room
    # A power of two, at least twice the keys; 0 when there are none. A hash of 0 is an empty place.


cdef uint64_t hash_key(const unsigned char *data, size_t size) noexcept nogil:
    """FNV-1a."""
    cdef uint64_t hash = 0xCBF29CE484222325ull
    cdef size_t at
    for at in range(size):
        hash = (hash ^ data[at]) * 0x100000001B3ull
    return hash if hash else 1


cdef inline size_t place_of(KeySet *keys, uint64_t hash) noexcept nogil:
    """The place of the hash, or the empty one where it belongs."""
    cdef size_t at = (hash ^ (hash >> 32)) & (keys.room - 1)
    while keys.hashes[at] and keys.hashes[at] != hash:
        at = (at + 1) & (keys.room - 1)
    return at


cdef inline int has_key(KeySet *keys, Buffer *key) noexcept nogil:
    return keys.room and keys.hashes[place_of(keys, hash_key(key.data, key.size))] != 0


cdef bytes spilled(value):
    """Return a value as `spill_value` writes it."""
    cdef long long number = 0
    cdef double real
    cdef unsigned char head[9]
    data = b""
    if value is None:
        head[0] = SQLITE_NULL
    elif isinstance(value, int):
        head[0] = SQLITE_INTEGER
        number = value
    elif isinstance(value, float):
        head[0] = SQLITE_FLOAT
        real = value
        memcpy(&number, &real, 8)
    else:
        head[0] = SQLITE_TEXT if isinstance(value, (str, BrokenText)) else SQLITE_BLOB
        data = (<str>value).encode() if isinstance(value, str) else bytes(value)
        number = len(data)
    memcpy(&head[1], &number, 8)
    return PyBytes_FromStringAndSize(<const char *>head, 9) + data


cdef int fill_keys(KeySet *keys, list wanted) except -1:
    cdef size_t room = 4
    cdef uint64_t hash
    while room < 2 * <size_t>len(wanted):
        room *= 2
    free(keys.hashes)
    keys.room = 0
    keys.hashes = NULL
    if not wanted:
        return 0
    keys.hashes = <uint64_t *>calloc(room, sizeof(uint64_t))
    if keys.hashes == NULL:
        raise MemoryError
    keys.room = room
    for key in wanted:
        text = b"".join([spilled(value) for value in key])
        hash = hash_key(<const unsigned char *>PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        keys.hashes[place_of(keys, hash)] = hash
    return 0
