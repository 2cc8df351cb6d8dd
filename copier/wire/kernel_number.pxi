# Numbers: what `cast_number.py` means, for the values it takes without a doubt.

cdef double TEN[23]
TEN[:] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
]
# Powers of ten that doubles hold exactly.

cdef uint64_t TEN_INT[20]
for _power in range(20):
    TEN_INT[_power] = 10**_power

cdef uint64_t EXACT = 1ull << 53
# Integers up to here are doubles exactly.

cdef uint64_t FIFTEEN_DIGITS = 999999999999999
# A decimal of at most 15 digits is the shortest form of the double it reads as.


ctypedef struct Decimal:
    uint64_t digits
    int scale
    int negative


cdef inline uint64_t magnitude(long long value) noexcept nogil:
    return <uint64_t>value if value >= 0 else 0 - <uint64_t>value


cdef inline int parse_integer(const unsigned char *text, size_t size, long long *value) noexcept nogil:
    """Read a sign and 1 to 18 digits, nothing else."""
    cdef size_t at = 0
    cdef long long number = 0
    if size and (text[0] == 43 or text[0] == 45):
        at = 1
    if at == size or size - at > 18:
        return 0
    while at < size:
        if not 48 <= text[at] <= 57:
            return 0
        number = number * 10 + (text[at] - 48)
        at += 1
    value[0] = -number if text[0] == 45 else number
    return 1


cdef inline int parse_decimal(const unsigned char *text, size_t size, Decimal *decimal) noexcept nogil:
    """Read a sign, digits and a fraction of at most 18 digits together, without exponent."""
    cdef size_t at = 0
    cdef int count = 0
    cdef int point = -1
    decimal.digits = 0
    decimal.negative = 0
    if size and (text[0] == 43 or text[0] == 45):
        decimal.negative = text[0] == 45
        at = 1
    while at < size:
        if 48 <= text[at] <= 57:
            if count == 18:
                return 0
            decimal.digits = decimal.digits * 10 + (text[at] - 48)
            count += 1
        elif text[at] == 46 and point < 0:
            point = count
        else:
            return 0
        at += 1
    decimal.scale = 0 if point < 0 else count - point
    return count > 0


cdef inline int shortest(double value, Decimal *decimal) noexcept nogil:
    """Give the number of repr(value) where it has at most 15 digits, its scale as in `repr`: at least 1.

    digits / 10**scale is one correctly rounded division of exact doubles, so where it gives `value` back, the decimal
    reads as `value`; and no two decimals of up to 15 digits read as one double.
    """
    cdef double size = fabs(value)
    cdef double scaled
    cdef int scale
    decimal.negative = value < 0
    if not size < 1e14:
        return 0
    for scale in range(1, 16):
        scaled = rint(size * TEN[scale])
        if scaled > <double>FIFTEEN_DIGITS:
            return 0
        if scaled / TEN[scale] == size:
            decimal.digits = <uint64_t>scaled
            decimal.scale = scale
            return 1
    return 0


cdef inline int count_digits(uint64_t number) noexcept nogil:
    cdef int count = 1
    while count < 20 and number >= TEN_INT[count]:
        count += 1
    return count


cdef inline int print_unsigned(uint64_t number, unsigned char *at, int width) noexcept nogil:
    """Write `width` digits, with leading zeros; return the width."""
    cdef int place
    for place in range(width - 1, -1, -1):
        at[place] = <unsigned char>(48 + number % 10)
        number //= 10
    return width


cdef int print_integer(long long value, unsigned char *at) noexcept nogil:
    """Write at most 20 characters; return how many."""
    cdef int sign = value < 0
    cdef uint64_t number = magnitude(value)
    if sign:
        at[0] = 45
    return sign + print_unsigned(number, at + sign, count_digits(number))


cdef int print_real(double value, unsigned char *at) noexcept nogil:
    """Write what repr() does, at most 24 characters; 0 where this does not know it."""
    cdef Decimal decimal
    cdef int size = 0
    cdef uint64_t whole
    if value != 0 and not fabs(value) >= 1e-4 or not shortest(value, &decimal):
        return 0
    if bits_of(value) >> 63:
        at[0] = 45
        size = 1
    whole = decimal.digits // TEN_INT[decimal.scale]
    size += print_unsigned(whole, at + size, count_digits(whole))
    at[size] = 46
    return size + 1 + print_unsigned(decimal.digits % TEN_INT[decimal.scale], at + size + 1, decimal.scale)


cdef int integer_of(Api *api, void *value, long long *number) noexcept nogil:
    cdef int kind = api.value_type(value)
    cdef double real
    if kind == SQLITE_INTEGER:
        number[0] = api.value_int64(value)
        return WRITTEN
    if kind == SQLITE_FLOAT:
        real = api.value_double(value)
        if not fabs(real) <= <double>EXACT or real != rint(real):
            return UNKNOWN
        number[0] = <long long>real
        return WRITTEN
    cdef const unsigned char *text
    if kind == SQLITE_TEXT:
        text = api.value_text(value)
        if text == NULL:
            return NO_MEMORY
        if parse_integer(text, api.value_bytes(value), number):
            return WRITTEN
    return UNKNOWN


cdef int real_of(Api *api, void *value, double *number) noexcept nogil:
    cdef int kind = api.value_type(value)
    cdef long long integer
    cdef Decimal decimal
    cdef const unsigned char *text
    if kind == SQLITE_FLOAT:
        number[0] = api.value_double(value)
        return WRITTEN
    if kind == SQLITE_INTEGER:
        integer = api.value_int64(value)
        if magnitude(integer) > EXACT:
            return UNKNOWN
        number[0] = <double>integer
        return WRITTEN
    if kind == SQLITE_TEXT:
        text = api.value_text(value)
        if text == NULL:
            return NO_MEMORY
        if parse_decimal(text, api.value_bytes(value), &decimal) and decimal.digits <= FIFTEEN_DIGITS:
            number[0] = <double>decimal.digits / TEN[decimal.scale]
            if decimal.negative:
                number[0] = -number[0]
            return WRITTEN
    return UNKNOWN


cdef int write_integer(Api *api, Column *column, void *value, Buffer *out) noexcept nogil:
    cdef long long number
    cdef int done = integer_of(api, value, &number)
    if done != WRITTEN:
        return done
    if not column.low <= number <= column.high:
        return UNKNOWN
    if column.kind == INT8:
        return write_8(out, <uint64_t>number)
    if column.kind == INT4:
        return write_4(out, <uint32_t>number)
    return write_2(out, <unsigned int>number)


cdef int write_real(Api *api, Column *column, void *value, Buffer *out) noexcept nogil:
    cdef double number
    cdef float single
    cdef uint32_t bits
    cdef int done = real_of(api, value, &number)
    if done != WRITTEN:
        return done
    if column.kind == FLOAT8:
        return write_8(out, bits_of(number))
    if fabs(number) > 3e38 and not isinf(number):
        return UNKNOWN
    single = <float>number
    if <double>single != number:
        return UNKNOWN
    memcpy(&bits, &single, 4)
    return write_4(out, bits)


cdef int word_is(const unsigned char *text, size_t size, const char *word) noexcept nogil:
    cdef size_t at
    for at in range(size):
        if (text[at] | 32) != <unsigned char>word[at]:
            return 0
    return word[size] == 0


cdef int write_bool(Api *api, void *value, Buffer *out) noexcept nogil:
    cdef int kind = api.value_type(value)
    cdef const unsigned char *text
    cdef long long number
    cdef double real
    cdef int size
    if kind == SQLITE_INTEGER:
        number = api.value_int64(value)
        return write_1(out, <unsigned char>number) if number == 0 or number == 1 else UNKNOWN
    if kind == SQLITE_FLOAT:
        real = api.value_double(value)
        return write_1(out, real == 1) if real == 0 or real == 1 else UNKNOWN
    if kind != SQLITE_TEXT:
        return UNKNOWN
    text = api.value_text(value)
    if text == NULL:
        return NO_MEMORY
    size = api.value_bytes(value)
    if size == 1:
        if text[0] == 48 or text[0] == 49:
            return write_1(out, text[0] - 48)
        if word_is(text, 1, b"t") or word_is(text, 1, b"y"):
            return write_1(out, 1)
        if word_is(text, 1, b"f") or word_is(text, 1, b"n"):
            return write_1(out, 0)
    elif size == 2:
        if word_is(text, 2, b"on"):
            return write_1(out, 1)
        if word_is(text, 2, b"no"):
            return write_1(out, 0)
    elif size == 3:
        if word_is(text, 3, b"yes"):
            return write_1(out, 1)
        if word_is(text, 3, b"off"):
            return write_1(out, 0)
    elif size == 4 and word_is(text, 4, b"true"):
        return write_1(out, 1)
    elif size == 5 and word_is(text, 5, b"false"):
        return write_1(out, 0)
    return UNKNOWN


cdef int write_numeric(Api *api, Column *column, void *value, Buffer *out) noexcept nogil:
    cdef int kind = api.value_type(value)
    cdef long long integer
    cdef double real
    cdef Decimal decimal
    cdef const unsigned char *text
    if kind == SQLITE_INTEGER:
        integer = api.value_int64(value)
        decimal.digits = magnitude(integer)
        decimal.negative = integer < 0
        decimal.scale = 0
    elif kind == SQLITE_FLOAT:
        if not shortest(api.value_double(value), &decimal):
            return UNKNOWN
    elif kind == SQLITE_TEXT:
        text = api.value_text(value)
        if text == NULL:
            return NO_MEMORY
        if not parse_decimal(text, api.value_bytes(value), &decimal):
            return UNKNOWN
    else:
        return UNKNOWN
    if decimal.scale > 16 or column.precision and not fits(&decimal, column.precision, column.scale):
        return UNKNOWN
    return write_decimal(out, &decimal)


cdef inline int fits(Decimal *decimal, int precision, int scale) noexcept nogil:
    cdef uint64_t digits = decimal.digits
    cdef int before
    cdef int after = decimal.scale
    if not digits:
        return scale >= 0 and precision >= scale
    before = count_digits(digits) - decimal.scale
    while digits % 10 == 0:
        digits //= 10
        after -= 1
    return after <= scale and before <= precision - scale


cdef int write_decimal(Buffer *out, Decimal *decimal) noexcept nogil:
    """Write numeric_send's payload: digits in base 10000, without zero words at either end."""
    cdef unsigned int words[12]
    cdef int fractions = (decimal.scale + 3) // 4
    cdef uint64_t whole = decimal.digits // TEN_INT[decimal.scale]
    cdef uint64_t fraction = decimal.digits % TEN_INT[decimal.scale] * TEN_INT[fractions * 4 - decimal.scale]
    cdef int first = 12 - fractions
    cdef int last = 12
    cdef int place
    cdef unsigned char *at
    for place in range(11, first - 1, -1):
        words[place] = <unsigned int>(fraction % 10000)
        fraction //= 10000
    while whole:
        first -= 1
        words[first] = <unsigned int>(whole % 10000)
        whole //= 10000
    while first < last and not words[first]:
        first += 1
    while first < last and not words[last - 1]:
        last -= 1
    if not reserve(out, 12 + 2 * (last - first)):
        return NO_MEMORY
    at = out.data + out.size
    put32(at, 8 + 2 * (last - first))
    put16(at + 4, last - first)
    put16(at + 6, <unsigned int>(11 - fractions - first) if first < last else 0)
    put16(at + 8, 0x4000 if decimal.negative and first < last else 0)
    put16(at + 10, decimal.scale)
    for place in range(first, last):
        put16(at + 12 + 2 * (place - first), words[place])
    out.size += 12 + 2 * (last - first)
    return WRITTEN
