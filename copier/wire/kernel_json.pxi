# JSON by RFC 8259, strictly, and only such as jsonb takes without a doubt. No recursion: containers are bits on a stack.

cdef enum:
    JSON_DEPTH = 256
    JSON_BYTES = 4 << 20
    JSON_NUMBER_BYTES = 40

cdef unsigned char JSON_PLAIN[256]
# Bytes of a string that need no look: all but quotes, backslashes and control characters. UTF-8 is checked before.
for _byte in range(256):
    JSON_PLAIN[_byte] = _byte >= 32 and chr(_byte) not in '"\\'


cdef inline size_t json_blank(const unsigned char *text, size_t size, size_t at) noexcept nogil:
    while at < size and (text[at] == 32 or text[at] == 10 or text[at] == 13 or text[at] == 9):
        at += 1
    return at


cdef inline int json_escape(const unsigned char *text, size_t size, size_t at) noexcept nogil:
    """Read four hex digits; -1 when they are none."""
    cdef int place
    cdef int code = 0
    if size - at < 4:
        return -1
    for place in range(4):
        if HEX[text[at + place]] == 16:
            return -1
        code = code * 16 + HEX[text[at + place]]
    return code


cdef size_t json_string(const unsigned char *text, size_t size, size_t at) noexcept nogil:
    """Return the place behind the string whose opening quote stands before `at`; 0 when it is not to be taken."""
    cdef int code
    while at < size:
        if JSON_PLAIN[text[at]]:
            at += 1
            continue
        if text[at] == 34:
            return at + 1
        if text[at] != 92 or size - at < 2:
            return 0
        at += 1
        if text[at] != 117:  # u
            if text[at] not in (34, 92, 47, 98, 102, 110, 114, 116):
                return 0
            at += 1
            continue
        code = json_escape(text, size, at + 1)
        at += 5
        if code <= 0 or 0xDC00 <= code <= 0xDFFF:
            return 0
        if 0xD800 <= code <= 0xDBFF:
            if size - at < 6 or text[at] != 92 or text[at + 1] != 117:
                return 0
            code = json_escape(text, size, at + 2)
            if not 0xDC00 <= code <= 0xDFFF:
                return 0
            at += 6
    return 0


cdef inline size_t json_digits(const unsigned char *text, size_t size, size_t at) noexcept nogil:
    while at < size and 48 <= text[at] <= 57:
        at += 1
    return at


cdef size_t json_number(const unsigned char *text, size_t size, size_t start) noexcept nogil:
    """Return the place behind the number at `start`; 0 when it is not to be taken: long ones may be beyond a double."""
    cdef size_t at = start
    cdef size_t digits
    if text[at] == 45:
        at += 1
    digits = at
    at = json_digits(text, size, at)
    if at == digits or (text[digits] == 48 and at > digits + 1):
        return 0
    if at < size and text[at] == 46:
        digits = at + 1
        at = json_digits(text, size, digits)
        if at == digits:
            return 0
    if at < size and (text[at] | 32) == 101:
        at += 1
        if at < size and (text[at] == 43 or text[at] == 45):
            at += 1
        digits = at
        at = json_digits(text, size, digits)
        if at == digits or at > digits + 2:
            return 0
    return at if at - start <= JSON_NUMBER_BYTES else 0


cdef size_t json_scalar(const unsigned char *text, size_t size, size_t at) noexcept nogil:
    if text[at] == 34:
        return json_string(text, size, at + 1)
    if text[at] == 45 or 48 <= text[at] <= 57:
        return json_number(text, size, at)
    if size - at >= 4 and (memcmp(text + at, b"true", 4) == 0 or memcmp(text + at, b"null", 4) == 0):
        return at + 4
    if size - at >= 5 and memcmp(text + at, b"false", 5) == 0:
        return at + 5
    return 0


cdef size_t json_key(const unsigned char *text, size_t size, size_t at) noexcept nogil:
    """Return the place of the value behind `"key" :`; 0 when there is none."""
    if at == size or text[at] != 34:
        return 0
    at = json_string(text, size, at + 1)
    if not at:
        return 0
    at = json_blank(text, size, at)
    if at == size or text[at] != 58:
        return 0
    return json_blank(text, size, at + 1)


cdef int is_json(const unsigned char *text, size_t size) noexcept nogil:
    cdef unsigned char closers[JSON_DEPTH]
    cdef int depth = 0
    cdef size_t at = json_blank(text, size, 0)
    cdef unsigned char closer
    if size > JSON_BYTES:
        return 0
    while True:
        # a value begins here
        if at >= size:
            return 0
        if text[at] == 123 or text[at] == 91:
            if depth == JSON_DEPTH:
                return 0
            closer = text[at] + 2
            at = json_blank(text, size, at + 1)
            if at < size and text[at] == closer:
                at += 1
            else:
                closers[depth] = closer
                depth += 1
                if closer == 125:
                    at = json_key(text, size, at)
                    if not at:
                        return 0
                continue
        else:
            at = json_scalar(text, size, at)
            if not at:
                return 0
        # a value has ended
        at = json_blank(text, size, at)
        while depth and at < size and text[at] == closers[depth - 1]:
            depth -= 1
            at = json_blank(text, size, at + 1)
        if not depth:
            return at == size
        if at == size or text[at] != 44:
            return 0
        at = json_blank(text, size, at + 1)
        if closers[depth - 1] == 125:
            at = json_key(text, size, at)
            if not at:
                return 0


cdef int write_json(Api *api, Column *column, void *value, Buffer *out) noexcept nogil:
    cdef unsigned char digits[32]
    cdef int kind = api.value_type(value)
    cdef const unsigned char *text
    cdef size_t size
    cdef size_t head = column.kind == JSONB
    if kind == SQLITE_TEXT:
        text = api.value_text(value)
        if text == NULL:
            return NO_MEMORY
        size = api.value_bytes(value)
        if size > JSON_BYTES or count_characters(text, size) < 0 or not is_json(text, size):
            return UNKNOWN
    else:
        size = print_number(api, value, kind, digits)
        if not size:
            return UNKNOWN
        text = digits
    if not reserve(out, 5 + size):
        return NO_MEMORY
    put32(out.data + out.size, <uint32_t>(size + head))
    out.data[out.size + 4] = 1
    memcpy(out.data + out.size + 4 + head, text, size)
    out.size += 4 + head + size
    return WRITTEN
