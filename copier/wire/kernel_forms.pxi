# Which forms a value has: what `copier.sqlite.forms` means, for the values where that is certain.

cdef enum:
    UUID_CANONICAL = 0
    UUID_ANY
    JSON_CONTAINER
    JSON_ANY
    INET_ANY
    ISO_DATE
    ISO_ZONED
    ISO_ANY
    ISO_TIME
    BOOL01
    BOOL_ANY
    INT_TEXT
    NUM_TEXT
    EPOCH_S
    EPOCH_MS
    EPOCH_US
    JULIAN_DAY
    FORM_COUNT

PROFILE_FORMS = (
    "uuid_canonical",
    "uuid",
    "json_container",
    "json",
    "inet",
    "iso_date",
    "iso_zoned",
    "iso",
    "iso_time",
    "bool01",
    "bool",
    "int_text",
    "num_text",
    "epoch_s",
    "epoch_ms",
    "epoch_us",
    "julian",
)

cdef enum:
    LONG_TEXT_BYTES = 60
    # Longer numbers and times are left to the reference.
    JSON_KEYS = 128
    JSON_LEVELS = 64

ctypedef struct Verdict:
    # Bits of forms: those the value has, and those that the reference must be asked for.
    uint32_t fit
    uint32_t unsure
    # Digits of the number it is the text of, where it is one.
    int scale
    int digits


cdef void judge_uuid(const unsigned char *text, size_t size, Verdict *verdict) noexcept nogil:
    cdef unsigned char seen = 0
    cdef int lower = 1
    cdef size_t at
    if size == 36:
        if text[8] != 45 or text[13] != 45 or text[18] != 45 or text[23] != 45:
            return
        for at in range(36):
            if at != 8 and at != 13 and at != 18 and at != 23:
                seen |= HEX[text[at]]
                lower &= text[at] < 65 or text[at] > 70
        if not seen & 16:
            verdict.fit |= 1 << UUID_ANY | (<uint32_t>lower << UUID_CANONICAL)
    elif size == 32:
        for at in range(32):
            seen |= HEX[text[at]]
        if not seen & 16:
            verdict.fit |= 1 << UUID_ANY
    elif 34 <= size <= 47 and (text[0] == 123 or (text[0] | 32) == 117):
        verdict.unsure |= 1 << UUID_ANY


cdef size_t skip_string(const unsigned char *text, size_t at) noexcept nogil:
    """Return the place behind a string of valid JSON whose opening quote stands before `at`."""
    while text[at] != 34:
        at += 2 if text[at] == 92 else 1
    return at + 1


cdef int has_distinct_keys(const unsigned char *text, size_t size) noexcept nogil:
    """Whether no object of valid JSON has a key twice; 0 also where that takes more than this."""
    cdef size_t starts[JSON_KEYS]
    cdef size_t sizes[JSON_KEYS]
    cdef int firsts[JSON_LEVELS]
    cdef int depth = 0
    cdef int count = 0
    cdef int other
    cdef size_t at = 0
    cdef size_t start, after
    while at < size:
        if text[at] == 123 or text[at] == 91:
            if depth == JSON_LEVELS:
                return 0
            firsts[depth] = count
            depth += 1
        elif text[at] == 125 or text[at] == 93:
            depth -= 1
            count = firsts[depth]
        elif text[at] == 34:
            start = at + 1
            at = skip_string(text, start)
            after = json_blank(text, size, at)
            if after < size and text[after] == 58:
                if count == JSON_KEYS:
                    return 0
                starts[count], sizes[count] = start, at - 1 - start
                for other in range(firsts[depth - 1], count):
                    if sizes[other] == sizes[count] and memcmp(text + starts[other], text + start, sizes[count]) == 0:
                        return 0
                for after in range(start, at):
                    if text[after] == 92:
                        return 0
                count += 1
            continue
        at += 1
    return 1


cdef void judge_json(const unsigned char *text, size_t size, uint32_t alive, Verdict *verdict) noexcept nogil:
    cdef size_t at = json_blank(text, size, 0)
    cdef int container
    if at == size:
        return
    container = text[at] == 123 or text[at] == 91
    if not container:
        if not alive >> JSON_ANY & 1:
            return
        if not (text[at] == 34 or text[at] == 45 or text[at] == 116 or text[at] == 102 or text[at] == 110):
            if not 48 <= text[at] <= 57:
                return
    if not is_json(text, size):
        verdict.unsure |= 1 << JSON_ANY | (<uint32_t>container << JSON_CONTAINER)
        return
    verdict.fit |= 1 << JSON_ANY
    if container and alive >> JSON_CONTAINER & 1:
        if has_distinct_keys(text, size):
            verdict.fit |= 1 << JSON_CONTAINER
        else:
            verdict.unsure |= 1 << JSON_CONTAINER


cdef void judge_inet(const unsigned char *text, size_t size, Verdict *verdict) noexcept nogil:
    cdef size_t at = 0
    cdef int colon = 0
    cdef int place
    cdef unsigned int number
    if size > LONG_TEXT_BYTES:
        return
    for at in range(size):
        if text[at] == 58:
            colon = 1
        elif HEX[text[at]] == 16 and text[at] != 46 and text[at] != 47:
            return
    if colon:
        verdict.unsure |= 1 << INET_ANY
        return
    at = 0
    for place in range(4):
        if place:
            if at == size or text[at] != 46:
                return
            at += 1
        if not parse_octet(text, size, &at, &number) or number > 255:
            return
    if at < size:
        if text[at] != 47:
            return
        at += 1
        if not parse_octet(text, size, &at, &number) or at != size or number > 32:
            return
    verdict.fit |= 1 << INET_ANY


cdef void judge_time(const unsigned char *text, size_t size, uint32_t alive, Verdict *verdict) noexcept nogil:
    cdef uint32_t dates = 1 << ISO_ANY | 1 << ISO_DATE | 1 << ISO_ZONED
    cdef long long us
    cdef size_t at
    if not 48 <= text[0] <= 57:
        return
    if size > LONG_TEXT_BYTES:
        verdict.unsure |= dates | 1 << ISO_TIME
        return
    if alive & dates and parse_iso(text, size, 1, &us):
        verdict.fit |= 1 << ISO_ANY
        if size == 10:
            verdict.fit |= 1 << ISO_DATE
        for at in range(10, size):
            if text[at] == 43 or text[at] == 45 or (text[at] | 32) == 122:
                verdict.fit |= 1 << ISO_ZONED
    elif alive >> ISO_TIME & 1 and <size_t>parse_clock(text, size, &us) == size:
        verdict.fit |= 1 << ISO_TIME


cdef void judge_number(const unsigned char *text, size_t size, Verdict *verdict) noexcept nogil:
    """A sign, digits and a fraction; exponents and long numbers are left to the reference."""
    cdef size_t at = text[0] == 43 or text[0] == 45
    cdef uint64_t whole = 0
    cdef size_t start, stop
    cdef size_t last = 0
    cdef uint32_t forms = 1 << NUM_TEXT | 1 << INT_TEXT
    if at == size or not (48 <= text[at] <= 57 or text[at] == 46):
        return
    if size > LONG_TEXT_BYTES:
        verdict.unsure |= forms
        return
    while at < size and text[at] == 48:
        at += 1
    start = at
    while at < size and 48 <= text[at] <= 57:
        if at - start < 19:
            whole = whole * 10 + (text[at] - 48)
        at += 1
    verdict.digits = <int>(at - start)
    stop = at
    if at < size and text[at] == 46:
        at += 1
        while at < size and 48 <= text[at] <= 57:
            if text[at] != 48:
                last = at - stop
            at += 1
    if at < size and (text[at] | 32) == 101:
        verdict.unsure |= forms
    elif at == size and (stop > 0 and 48 <= text[stop - 1] <= 57 or at > stop + 1):
        verdict.fit |= 1 << NUM_TEXT
        verdict.scale = <int>last
        if stop == size and (stop - start < 19 or (stop - start == 19 and whole <= <uint64_t>1 << 63)):
            if whole < <uint64_t>1 << 63 or text[0] == 45:
                verdict.fit |= 1 << INT_TEXT


cdef int is_bool_word(const unsigned char *text, size_t size) noexcept nogil:
    if size == 1:
        return (
            text[0] == 48 or text[0] == 49 or word_is(text, 1, b"t") or word_is(text, 1, b"y")
            or word_is(text, 1, b"f") or word_is(text, 1, b"n")
        )
    if size == 2:
        return word_is(text, 2, b"on") or word_is(text, 2, b"no")
    if size == 3:
        return word_is(text, 3, b"yes") or word_is(text, 3, b"off")
    if size == 4:
        return word_is(text, 4, b"true")
    return size == 5 and word_is(text, 5, b"false")


cdef void judge_text(const unsigned char *text, size_t size, uint32_t alive, Verdict *verdict) noexcept nogil:
    """Judge valid UTF-8, not empty, for the forms still alive."""
    if alive & (1 << UUID_ANY | 1 << UUID_CANONICAL):
        judge_uuid(text, size, verdict)
    if alive & (1 << JSON_ANY | 1 << JSON_CONTAINER):
        judge_json(text, size, alive, verdict)
    if alive >> INET_ANY & 1:
        judge_inet(text, size, verdict)
    if alive & (1 << ISO_ANY | 1 << ISO_DATE | 1 << ISO_ZONED | 1 << ISO_TIME):
        judge_time(text, size, alive, verdict)
    if alive & (1 << NUM_TEXT | 1 << INT_TEXT):
        judge_number(text, size, verdict)
    if alive >> BOOL_ANY & 1 and size <= 5 and is_bool_word(text, size):
        verdict.fit |= 1 << BOOL_ANY
    verdict.fit &= alive
    verdict.unsure &= alive & ~verdict.fit
