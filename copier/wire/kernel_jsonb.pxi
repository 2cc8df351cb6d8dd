# The canonical form of jsonb: what `canonical.py` gives, for what most documents are made of. Text is valid JSON.

cdef enum:
    JSONB_LEVELS = 24
    JSONB_MEMBERS = 64

ctypedef struct Member:
    # One member of an object as written: where it begins, its length with the comma behind it, and its key's length.
    size_t start
    size_t size
    size_t key_size


cdef inline void put_byte(Buffer *to, unsigned char byte) noexcept nogil:
    to.data[to.size] = byte
    to.size += 1


cdef inline void put_all(Buffer *to, const unsigned char *data, size_t size) noexcept nogil:
    memcpy(to.data + to.size, data, size)
    to.size += size


cdef size_t put_json_string(const unsigned char *text, size_t size, size_t at, int plain, Buffer *to) noexcept nogil:
    """Copy the string whose opening quote is at `at`; return the place behind it, 0 where its spelling may vary."""
    cdef size_t start = at
    at += 1
    while at < size and text[at] != 34:
        if text[at] < 32:
            return 0
        if text[at] == 92:
            if plain or size - at < 2 or text[at + 1] not in (34, 92, 98, 102, 110, 114, 116):
                return 0
            at += 1
        at += 1
    if at >= size:
        return 0
    put_all(to, text + start, at + 1 - start)
    return at + 1


cdef size_t put_json_number(const unsigned char *text, size_t size, size_t start, Buffer *to) noexcept nogil:
    """Write an integer as it is, and a fraction as digits and an exponent, up to 18 digits; 0 for anything else."""
    cdef size_t at = start
    cdef size_t digits, stop, last
    cdef int negative = text[at] == 45
    at += negative
    digits = at
    at = json_digits(text, size, at)
    stop = last = at
    if at < size and text[at] == 46:
        at = json_digits(text, size, at + 1)
        last = at
        while last > stop + 1 and text[last - 1] == 48:
            last -= 1
        if last == stop + 1:
            last = stop
    if at == digits or at - digits > 18 or (at < size and (text[at] | 32) == 101):
        return 0
    while digits < stop and text[digits] == 48:
        digits += 1
    if digits == stop and last == stop:
        if negative:
            return 0
        put_byte(to, 48)
        return at
    if negative:
        put_byte(to, 45)
    put_all(to, text + digits, stop - digits)
    if last > stop:
        start = stop + 1
        while digits == stop and text[start] == 48:
            start += 1
        put_all(to, text + start, last - start)
        put_byte(to, 69)
        put_byte(to, 45)
        to.size += print_integer(last - stop - 1, to.data + to.size)
    return at


cdef int compare_keys(Buffer *to, Member *one, Member *other) noexcept nogil:
    """Order keys by their bytes, quotes left out: that is the order of their code points."""
    cdef size_t size = min(one.key_size, other.key_size) - 2
    cdef int order = memcmp(to.data + one.start + 1, to.data + other.start + 1, size)
    if order:
        return order
    return (one.key_size > other.key_size) - (one.key_size < other.key_size)


cdef int sort_members(Buffer *to, Member *members, int count, Buffer *aside) noexcept nogil:
    """Bring the members of an object, the last thing written, into the order of their keys; UNKNOWN where two are equal."""
    cdef size_t start = members[0].start
    cdef int sorted = 1
    cdef int place, order, at
    cdef Member one
    for place in range(1, count):
        one = members[place]
        at = place
        while at:
            order = compare_keys(to, &members[at - 1], &one)
            if order == 0:
                return UNKNOWN
            if order < 0:
                break
            members[at] = members[at - 1]
            at -= 1
            sorted = 0
        members[at] = one
    if sorted:
        return WRITTEN
    aside.size = 0
    if not reserve(aside, to.size - start):
        return NO_MEMORY
    for place in range(count):
        put_all(aside, to.data + members[place].start, members[place].size)
    memcpy(to.data + start, aside.data, aside.size)
    return WRITTEN


cdef size_t put_json_object(
    const unsigned char *text, size_t size, size_t at, int depth, Buffer *to, Buffer *aside
) noexcept nogil:
    cdef Member members[JSONB_MEMBERS]
    cdef int count = 0
    put_byte(to, 123)
    at = json_blank(text, size, at + 1)
    if at < size and text[at] == 125:
        put_byte(to, 125)
        return at + 1
    while count < JSONB_MEMBERS and at < size and text[at] == 34:
        members[count].start = to.size
        at = put_json_string(text, size, at, 1, to)
        if not at:
            return 0
        members[count].key_size = to.size - members[count].start
        at = json_blank(text, size, at)
        if at >= size or text[at] != 58:
            return 0
        put_byte(to, 58)
        at = put_json_value(text, size, json_blank(text, size, at + 1), depth + 1, to, aside)
        if not at:
            return 0
        put_byte(to, 44)
        members[count].size = to.size - members[count].start
        count += 1
        at = json_blank(text, size, at)
        if at < size and text[at] == 44:
            at = json_blank(text, size, at + 1)
            continue
        if at >= size or text[at] != 125 or sort_members(to, members, count, aside) != WRITTEN:
            return 0
        to.data[to.size - 1] = 125
        return at + 1
    return 0


cdef size_t put_json_array(
    const unsigned char *text, size_t size, size_t at, int depth, Buffer *to, Buffer *aside
) noexcept nogil:
    put_byte(to, 91)
    at = json_blank(text, size, at + 1)
    if at < size and text[at] == 93:
        put_byte(to, 93)
        return at + 1
    while at < size:
        at = put_json_value(text, size, at, depth + 1, to, aside)
        if not at:
            return 0
        at = json_blank(text, size, at)
        if at >= size or (text[at] != 44 and text[at] != 93):
            return 0
        put_byte(to, text[at])
        if text[at] == 93:
            return at + 1
        at = json_blank(text, size, at + 1)
    return 0


cdef size_t put_json_value(
    const unsigned char *text, size_t size, size_t at, int depth, Buffer *to, Buffer *aside
) noexcept nogil:
    """Write the value that begins at `at`; return the place behind it, 0 where its canonical form is not known."""
    cdef size_t end
    if at >= size or depth == JSONB_LEVELS:
        return 0
    if text[at] == 123:
        return put_json_object(text, size, at, depth, to, aside)
    if text[at] == 91:
        return put_json_array(text, size, at, depth, to, aside)
    if text[at] == 34:
        return put_json_string(text, size, at, 0, to)
    if text[at] == 45 or 48 <= text[at] <= 57:
        return put_json_number(text, size, at, to)
    end = json_scalar(text, size, at)
    if end:
        put_all(to, text + at, end - at)
    return end


cdef int put_jsonb(const unsigned char *payload, size_t size, Buffer *to, Buffer *aside) noexcept nogil:
    """Append the canonical form of a payload; `to` has room for twice its size and 16 bytes."""
    cdef const unsigned char *text = payload + 1
    cdef size_t at
    if size < 2:
        return UNKNOWN
    size -= 1
    at = put_json_value(text, size, json_blank(text, size, 0), 0, to, aside)
    return WRITTEN if at and json_blank(text, size, at) == size else UNKNOWN
