# Dates and times: what `cast_time.py` means, for the values it takes without a doubt.

cdef enum:
    US_PER_S = 1000000

cdef long long US_PER_DAY = 86400000000ll
cdef long long UNIX_EPOCH_US = 10957ll * 86400000000ll
cdef long long TIMESTAMP_MIN_US = -211813488000000000ll
cdef long long TIMESTAMP_END_US = 9223371331200000000ll
cdef long long JULIAN_2000_MS = 211813444800000ll


cdef inline int two_digits(const unsigned char *text, int *number) noexcept nogil:
    if not (48 <= text[0] <= 57 and 48 <= text[1] <= 57):
        return 0
    number[0] = (text[0] - 48) * 10 + text[1] - 48
    return 1


cdef inline int month_days(int year, int month) noexcept nogil:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31


cdef inline long long days_from_2000(int year, int month, int day) noexcept nogil:
    """Days of the proleptic Gregorian calendar, counted in years that begin in March, so that leap days end them."""
    cdef long long march_year = year - (month < 3)
    cdef long long march_month = (month + 9) % 12
    cdef long long days = march_year * 365 + march_year // 4 - march_year // 100 + march_year // 400
    return days + (153 * march_month + 2) // 5 + day - 1 - 730425


cdef int parse_clock(const unsigned char *text, size_t size, long long *us) noexcept nogil:
    """Read HH:MM[:SS[.fraction]] from the start of the text; return how many characters, 0 when it is none."""
    cdef int hour, minute, digit
    cdef int second = 0
    cdef long long fraction = 0
    cdef long long unit = 100000
    cdef size_t at = 5
    if size < 5 or not two_digits(text, &hour) or text[2] != 58 or not two_digits(text + 3, &minute):
        return 0
    if size >= 8 and text[5] == 58:
        if not two_digits(text + 6, &second):
            return 0
        at = 8
        if size > 9 and text[8] == 46 and 48 <= text[9] <= 57:
            at = 9
            while at < size and 48 <= text[at] <= 57:
                digit = text[at] - 48
                if not unit and digit:
                    return 0
                fraction += unit * digit
                unit //= 10
                at += 1
                if at > 64:
                    return 0
    if hour > 23 or minute > 59 or second > 59:
        return 0
    us[0] = ((hour * 60 + minute) * 60ll + second) * US_PER_S + fraction
    return <int>at


cdef int parse_iso(const unsigned char *text, size_t size, int zoned, long long *us) noexcept nogil:
    cdef int century, year, month, day, zone_hour
    cdef int zone_minute = 0
    cdef long long clock = 0
    cdef long long offset_min = 0
    cdef size_t at = 10
    if size < 10 or text[4] != 45 or text[7] != 45:
        return 0
    if not two_digits(text, &century) or not two_digits(text + 2, &year):
        return 0
    if not two_digits(text + 5, &month) or not two_digits(text + 8, &day):
        return 0
    year += century * 100
    if year < 1 or not 1 <= month <= 12 or not 1 <= day <= month_days(year, month):
        return 0
    if size > 10:
        if text[10] != 32 and text[10] != 84:
            return 0
        at = <size_t>parse_clock(text + 11, size - 11, &clock)
        if not at:
            return 0
        at += 11
    if at < size:
        if (text[at] | 32) == 122:
            at += 1
        elif text[at] == 43 or text[at] == 45:
            if size - at < 3 or not two_digits(text + at + 1, &zone_hour):
                return 0
            if size - at == 6 and text[at + 3] == 58:
                if not two_digits(text + at + 4, &zone_minute):
                    return 0
            elif size - at == 5:
                if not two_digits(text + at + 3, &zone_minute):
                    return 0
            elif size - at != 3:
                return 0
            if zone_hour > 15 or zone_minute > 59:
                return 0
            offset_min = zone_hour * 60 + zone_minute
            if offset_min and not zoned:
                return 0
            if text[at] == 45:
                offset_min = -offset_min
            at = size
        if at != size:
            return 0
    us[0] = days_from_2000(year, month, day) * US_PER_DAY + clock - offset_min * 60 * US_PER_S
    return 1


cdef inline int seconds_to_us(double value, long long *us) noexcept nogil:
    """Round seconds to whole microseconds, half to even, exactly: `fma` gives what the product was rounded by."""
    cdef double whole = trunc(value)
    cdef double product = (value - whole) * 1e6
    cdef double error = fma(value - whole, 1e6, -product)
    cdef double rounded = rint(product)
    cdef double rest = product - rounded
    if not fabs(value) <= 1e13:
        return 0
    if rest == 0.5 and error > 0:
        rounded += 1
    elif rest == -0.5 and error < 0:
        rounded -= 1
    us[0] = <long long>whole * US_PER_S + <long long>rounded
    return 1


cdef int epoch_of(Api *api, Column *column, void *value, long long *us) noexcept nogil:
    """Microseconds since 1970."""
    cdef long long number
    cdef double real, product
    cdef int done
    if api.value_type(value) == SQLITE_FLOAT and column.unit_us != 1:
        real = api.value_double(value)
        if column.unit_us == US_PER_S:
            return WRITTEN if seconds_to_us(real, us) else UNKNOWN
        if not fabs(real) <= 9e15:
            return UNKNOWN
        product = real * 1000.0
        if fma(real, 1000.0, -product) != 0 or product != rint(product):
            return UNKNOWN
        us[0] = <long long>product
        return WRITTEN
    done = integer_of(api, value, &number)
    if done != WRITTEN:
        return done
    if not column.low <= number <= column.high:
        return UNKNOWN
    us[0] = number * column.unit_us
    return WRITTEN


cdef int moment_of(Api *api, Column *column, void *value, long long *us) noexcept nogil:
    """Microseconds since 2000."""
    cdef const unsigned char *text
    cdef double days
    cdef int done
    if column.form == ISO:
        if api.value_type(value) != SQLITE_TEXT:
            return UNKNOWN
        text = api.value_text(value)
        if text == NULL:
            return NO_MEMORY
        if column.kind == TIME:
            done = api.value_bytes(value)
            return WRITTEN if done and parse_clock(text, done, us) == done else UNKNOWN
        return WRITTEN if parse_iso(text, api.value_bytes(value), column.zoned, us) else UNKNOWN
    if column.form == JULIAN:
        done = real_of(api, value, &days)
        if done != WRITTEN:
            return done
        if not (days >= 0 and days < 5373484.5):
            return UNKNOWN
        us[0] = (<long long>(days * 86400000.0 + 0.5) - JULIAN_2000_MS) * 1000
    else:
        done = epoch_of(api, column, value, us)
        if done != WRITTEN:
            return done
        if us[0] < TIMESTAMP_MIN_US + UNIX_EPOCH_US:
            return UNKNOWN
        us[0] -= UNIX_EPOCH_US
    return WRITTEN if TIMESTAMP_MIN_US <= us[0] < TIMESTAMP_END_US else UNKNOWN


cdef int write_moment(Api *api, Column *column, void *value, Buffer *out) noexcept nogil:
    cdef long long us
    cdef int done = moment_of(api, column, value, &us)
    if done != WRITTEN:
        return done
    if column.kind != DATE:
        return write_8(out, <uint64_t>us)
    if us % US_PER_DAY != 0:
        return UNKNOWN
    return write_4(out, <uint32_t><int32_t>(us // US_PER_DAY))
