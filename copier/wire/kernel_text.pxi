# Text, bytes, UUIDs and addresses: what `cast_text.py` and `cast_inet.py` mean, for the values they take without a doubt.

cdef enum:
    ANY_LENGTH = -1

cdef uint64_t HIGH_BITS = 0x8080808080808080ull
cdef uint64_t LOW_BITS = 0x0101010101010101ull


cdef inline int utf8_rest(const unsigned char *at, size_t size) noexcept nogil:
    """Length of the valid sequence of several bytes that begins here, 0 when there is none (Unicode, table 3-7)."""
    cdef unsigned char low = 0x80
    cdef unsigned char high = 0xBF
    cdef int length, place
    if 0xC2 <= at[0] <= 0xDF:
        length = 2
    elif at[0] <= 0xEF and at[0] >= 0xE0:
        length = 3
        if at[0] == 0xE0:
            low = 0xA0
        elif at[0] == 0xED:
            high = 0x9F
    elif at[0] <= 0xF4 and at[0] >= 0xF0:
        length = 4
        if at[0] == 0xF0:
            low = 0x90
        elif at[0] == 0xF4:
            high = 0x8F
    else:
        return 0
    if size < <size_t>length or not low <= at[1] <= high:
        return 0
    for place in range(2, length):
        if (at[place] & 0xC0) != 0x80:
            return 0
    return length


cdef inline long long count_characters(const unsigned char *text, size_t size) noexcept nogil:
    """Return the code points of valid UTF-8 without NUL; -1 for anything else."""
    cdef size_t at = 0
    cdef long long continuation = 0
    cdef uint64_t word
    cdef int length
    while at < size:
        while size - at >= 8:
            memcpy(&word, text + at, 8)
            if ((word - LOW_BITS) | word) & HIGH_BITS:  # a byte of 0 or above 0x7F, or borrowed from one of 0
                break
            at += 8
        if at == size:
            break
        if 0 < text[at] < 0x80:
            at += 1
            continue
        length = utf8_rest(text + at, size - at)
        if not length:
            return -1
        at += length
        continuation += length - 1
    return <long long>size - continuation


cdef int write_text(Api *api, Column *column, void *value, Buffer *out) noexcept nogil:
    cdef unsigned char digits[32]
    cdef int kind = api.value_type(value)
    cdef const unsigned char *text
    cdef size_t size
    cdef long long characters
    if kind == SQLITE_TEXT:
        text = api.value_text(value)
        if text == NULL:
            return NO_MEMORY
        size = api.value_bytes(value)
        characters = count_characters(text, size)
        if characters < 0:
            return UNKNOWN
    else:
        size = print_number(api, value, kind, digits)
        if not size:
            return UNKNOWN
        text = digits
        characters = size
    if column.max_chars != ANY_LENGTH and characters > column.max_chars:
        return UNKNOWN
    return write_bytes(out, text, size)


cdef size_t print_number(Api *api, void *value, int kind, unsigned char *digits) noexcept nogil:
    """Write a number's text, at most 32 characters; 0 where it is none or not known."""
    if kind == SQLITE_INTEGER:
        return print_integer(api.value_int64(value), digits)
    if kind == SQLITE_FLOAT:
        return print_real(api.value_double(value), digits)
    return 0


cdef int write_blob(Api *api, void *value, Buffer *out) noexcept nogil:
    cdef unsigned char digits[32]
    cdef int kind = api.value_type(value)
    cdef const unsigned char *data
    cdef size_t size
    if kind == SQLITE_BLOB or kind == SQLITE_TEXT:
        data = api.value_blob(value) if kind == SQLITE_BLOB else api.value_text(value)
        size = api.value_bytes(value)
        if data == NULL and (size or kind == SQLITE_TEXT):
            return NO_MEMORY
        return write_bytes(out, data, size)
    size = print_number(api, value, kind, digits)
    return write_bytes(out, digits, size) if size else UNKNOWN


cdef unsigned char HEX[256]
for _byte in range(256):
    HEX[_byte] = int(chr(_byte), 16) if chr(_byte) in "0123456789abcdefABCDEF" else 16


cdef int write_uuid(Api *api, void *value, Buffer *out) noexcept nogil:
    cdef int kind = api.value_type(value)
    cdef const unsigned char *text
    cdef unsigned char *to
    cdef unsigned char bad = 0
    cdef unsigned char high, low
    cdef int size, place, at
    if kind == SQLITE_BLOB:
        text = api.value_blob(value)
        if api.value_bytes(value) != 16:
            return UNKNOWN
        return NO_MEMORY if text == NULL else write_bytes(out, text, 16)
    if kind != SQLITE_TEXT:
        return UNKNOWN
    text = api.value_text(value)
    if text == NULL:
        return NO_MEMORY
    size = api.value_bytes(value)
    if size == 36:
        if text[8] != 45 or text[13] != 45 or text[18] != 45 or text[23] != 45:
            return UNKNOWN
    elif size != 32:
        return UNKNOWN
    if not reserve(out, 20):
        return NO_MEMORY
    to = out.data + out.size
    put32(to, 16)
    at = 0
    for place in range(4, 20):
        if size == 36 and (place == 8 or place == 10 or place == 12 or place == 14):
            at += 1
        high, low = HEX[text[at]], HEX[text[at + 1]]
        bad |= high | low
        to[place] = <unsigned char>((high << 4) | (low & 15))
        at += 2
    if bad & 16:
        return UNKNOWN
    out.size += 20
    return WRITTEN


cdef int parse_octet(const unsigned char *text, size_t size, size_t *at, unsigned int *number) noexcept nogil:
    """Read up to three digits without leading zeros."""
    cdef size_t start = at[0]
    number[0] = 0
    while at[0] < size and at[0] - start < 3 and 48 <= text[at[0]] <= 57:
        number[0] = number[0] * 10 + text[at[0]] - 48
        at[0] += 1
    return at[0] > start and (at[0] - start == 1 or text[start] != 48)


cdef int write_inet(Api *api, Column *column, void *value, Buffer *out) noexcept nogil:
    """IPv4 `a.b.c.d` or `a.b.c.d/bits`."""
    cdef const unsigned char *text
    cdef unsigned char *to
    cdef size_t size
    cdef size_t at = 0
    cdef unsigned int octet
    cdef uint32_t address = 0
    cdef unsigned int bits = 32
    cdef int place
    if api.value_type(value) != SQLITE_TEXT:
        return UNKNOWN
    text = api.value_text(value)
    if text == NULL:
        return NO_MEMORY
    size = api.value_bytes(value)
    for place in range(4):
        if place:
            if at == size or text[at] != 46:
                return UNKNOWN
            at += 1
        if not parse_octet(text, size, &at, &octet) or octet > 255:
            return UNKNOWN
        address = (address << 8) | octet
    if at < size:
        if text[at] != 47:
            return UNKNOWN
        at += 1
        if not parse_octet(text, size, &at, &bits) or at != size or bits > 32:
            return UNKNOWN
    if column.kind == CIDR and bits < 32 and address & (0xFFFFFFFFu >> bits):
        return UNKNOWN
    if not reserve(out, 12):
        return NO_MEMORY
    to = out.data + out.size
    put32(to, 8)
    to[4], to[5], to[6], to[7] = 2, <unsigned char>bits, column.kind == CIDR, 4
    put32(to + 8, address)
    out.size += 12
    return WRITTEN
