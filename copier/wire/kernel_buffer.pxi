# A growing buffer of bytes, written without the GIL. Every write asks for room first.

ctypedef struct Buffer:
    unsigned char *data
    size_t size
    size_t room


cdef int grow(Buffer *buffer, size_t more) noexcept nogil:
    cdef size_t room = buffer.room * 2
    cdef unsigned char *data
    if more > <size_t>-1 // 2 - buffer.size:
        return 0
    if room < buffer.size + more:
        room = buffer.size + more
    if room < 4096:
        room = 4096
    data = <unsigned char *>realloc(buffer.data, room)
    if data == NULL:
        return 0
    buffer.data = data
    buffer.room = room
    return 1


cdef inline int reserve(Buffer *buffer, size_t more) noexcept nogil:
    """Make room for `more` bytes; 0 when there is no memory."""
    if buffer.room - buffer.size >= more:
        return 1
    return grow(buffer, more)


cdef void empty(Buffer *buffer, size_t keep_bytes) noexcept nogil:
    """Forget the content, and the memory where it is more than `keep_bytes`."""
    buffer.size = 0
    if buffer.room > keep_bytes:
        free(buffer.data)
        buffer.data = NULL
        buffer.room = 0


cdef inline void put16(unsigned char *at, unsigned int value) noexcept nogil:
    at[0] = <unsigned char>(value >> 8)
    at[1] = <unsigned char>value


cdef inline void put32(unsigned char *at, uint32_t value) noexcept nogil:
    at[0] = <unsigned char>(value >> 24)
    at[1] = <unsigned char>(value >> 16)
    at[2] = <unsigned char>(value >> 8)
    at[3] = <unsigned char>value


cdef inline void put64(unsigned char *at, uint64_t value) noexcept nogil:
    put32(at, <uint32_t>(value >> 32))
    put32(at + 4, <uint32_t>value)


cdef inline uint32_t get32(const unsigned char *at) noexcept nogil:
    return (<uint32_t>at[0] << 24) | (<uint32_t>at[1] << 16) | (<uint32_t>at[2] << 8) | at[3]


cdef inline uint64_t bits_of(double value) noexcept nogil:
    cdef uint64_t bits
    memcpy(&bits, &value, 8)
    return bits


cdef inline int write_null(Buffer *out) noexcept nogil:
    if not reserve(out, 4):
        return NO_MEMORY
    put32(out.data + out.size, 0xFFFFFFFFu)
    out.size += 4
    return WRITTEN


cdef inline int write_bytes(Buffer *out, const unsigned char *data, size_t size) noexcept nogil:
    if size > MAX_FIELD:
        return UNKNOWN
    if not reserve(out, 4 + size):
        return NO_MEMORY
    put32(out.data + out.size, <uint32_t>size)
    if size:
        memcpy(out.data + out.size + 4, data, size)
    out.size += 4 + size
    return WRITTEN


cdef inline int write_8(Buffer *out, uint64_t value) noexcept nogil:
    if not reserve(out, 12):
        return NO_MEMORY
    put32(out.data + out.size, 8)
    put64(out.data + out.size + 4, value)
    out.size += 12
    return WRITTEN


cdef inline int write_4(Buffer *out, uint32_t value) noexcept nogil:
    if not reserve(out, 8):
        return NO_MEMORY
    put32(out.data + out.size, 4)
    put32(out.data + out.size + 4, value)
    out.size += 8
    return WRITTEN


cdef inline int write_2(Buffer *out, unsigned int value) noexcept nogil:
    if not reserve(out, 6):
        return NO_MEMORY
    put32(out.data + out.size, 2)
    put16(out.data + out.size + 4, value)
    out.size += 6
    return WRITTEN


cdef inline int write_1(Buffer *out, unsigned char value) noexcept nogil:
    if not reserve(out, 5):
        return NO_MEMORY
    put32(out.data + out.size, 1)
    out.data[out.size + 4] = value
    out.size += 5
    return WRITTEN
