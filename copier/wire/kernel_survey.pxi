# Counting one value: what `copier.sqlite.tally` and `copier.sqlite.forms` do with it.

cdef enum ValueKind:
    KIND_TEXT
    KIND_INTEGER
    KIND_REAL
    KIND_BLOB
    KIND_BROKEN
    KIND_COUNT

PROFILE_KINDS = ("text", "integer", "real", "blob", "broken")

cdef enum:
    EXAMPLE_BYTES = 400
    # Enough of a value to show it: 61 characters, or 50 bytes in hex.

ctypedef struct Hypotheses:
    # The limits of the forms that are ranges, and when a form is given up.
    long long first[3]
    long long last[3]
    double julian_first
    double julian_last
    long long patience
    double tolerance
    long long block_rows

ctypedef struct Tally:
    long long nulls
    long long integers
    long long reals
    long long texts
    long long blobs
    long long reals_integral
    long long reals_infinite
    long long reals_finite
    long long empty
    long long nul
    long long broken
    long long int_min
    long long int_max
    double real_min
    double real_max
    long long most_chars
    long long most_bytes
    long long blob_min
    long long blob_max
    long long bytes
    int counts_digits
    int counts_text_digits
    int scale
    int digits
    long long seen
    uint32_t alive
    uint32_t shown[KIND_COUNT]
    long long fitted[FORM_COUNT]
    long long refuted[FORM_COUNT]

ctypedef struct Question:
    # Goes before a value in the spill: what Python is to do with it.
    long long row
    int column
    int kind
    uint32_t unsure
    uint32_t misfit
    int wants_digits


cdef int ask(Buffer *to, Question *question, int storage, const unsigned char *data, size_t size) noexcept nogil:
    """Append a question and its value."""
    cdef long long number = size
    if not reserve(to, sizeof(Question) + 9 + size):
        return NO_MEMORY
    memcpy(to.data + to.size, question, sizeof(Question))
    to.size += sizeof(Question)
    to.data[to.size] = <unsigned char>storage
    if storage == SQLITE_INTEGER or storage == SQLITE_FLOAT:
        memcpy(&number, data, 8)
        size = 0
    memcpy(to.data + to.size + 1, &number, 8)
    if size:
        memcpy(to.data + to.size + 9, data, size)
    to.size += 9 + size
    return WRITTEN


cdef inline size_t example_size(const unsigned char *text, size_t size) noexcept nogil:
    """Cut a text between characters."""
    if size <= EXAMPLE_BYTES:
        return size
    size = EXAMPLE_BYTES
    while size and (text[size] & 0xC0) == 0x80:
        size -= 1
    return size


cdef int weigh(
    Tally *tally, Question *question, Verdict *verdict, int storage, const unsigned char *data, size_t size, Buffer *to
) noexcept nogil:
    """Count a verdict for every form alive; ask where it is unsure, and where a form is refuted for the first time."""
    cdef uint32_t alive = tally.alive & ~verdict.unsure
    cdef uint32_t rest = alive
    cdef int form = 0
    if tally.alive:
        tally.seen += 1
        while rest:
            if rest & 1:
                if verdict.fit >> form & 1:
                    tally.fitted[form] += 1
                else:
                    tally.refuted[form] += 1
            rest >>= 1
            form += 1
    question.unsure = verdict.unsure & tally.alive
    question.misfit = alive & ~verdict.fit & ~tally.shown[question.kind]
    if not question.unsure and not question.wants_digits:
        if not question.misfit:
            return WRITTEN
        # broken text stays whole: its start alone may not be broken
        if question.kind == KIND_TEXT:
            size = example_size(data, size)
        elif question.kind == KIND_BLOB and size > EXAMPLE_BYTES:
            size = EXAMPLE_BYTES
    tally.shown[question.kind] |= question.misfit
    return ask(to, question, storage, data, size)


cdef int survey_integer(Tally *tally, Hypotheses *limits, Question *question, long long value, Buffer *to) noexcept nogil:
    cdef Verdict verdict
    cdef int unit
    if not tally.integers or value < tally.int_min:
        tally.int_min = value
    if not tally.integers or value > tally.int_max:
        tally.int_max = value
    tally.integers += 1
    tally.bytes += 8
    if not tally.alive:
        return WRITTEN
    verdict.fit = verdict.unsure = 0
    if value == 0 or value == 1:
        verdict.fit |= 1 << BOOL01 | 1 << BOOL_ANY
    for unit in range(3):
        if value == 0 or limits.first[unit] <= value <= limits.last[unit]:
            verdict.fit |= 1 << (EPOCH_S + unit)
    question.kind = KIND_INTEGER
    return weigh(tally, question, &verdict, SQLITE_INTEGER, <const unsigned char *>&value, 8, to)


cdef int survey_real(Tally *tally, Hypotheses *limits, Question *question, double value, Buffer *to) noexcept nogil:
    cdef Verdict verdict
    cdef Decimal decimal
    verdict.fit = verdict.unsure = 0
    tally.reals += 1
    tally.bytes += 8
    if isinf(value):
        tally.reals_infinite += 1
    else:
        if not tally.reals_finite or value < tally.real_min:
            tally.real_min = value
        if not tally.reals_finite or value > tally.real_max:
            tally.real_max = value
        tally.reals_finite += 1
        tally.reals_integral += value == rint(value)
        if tally.counts_digits and value != rint(value):
            if shortest(value, &decimal):
                while decimal.scale > 0 and decimal.digits % 10 == 0:
                    decimal.digits //= 10
                    decimal.scale -= 1
                if decimal.scale > tally.scale:
                    tally.scale = decimal.scale
            else:
                question.wants_digits = 1
    if value == 0 or value == 1:
        verdict.fit |= 1 << BOOL_ANY
    if limits.julian_first <= value <= limits.julian_last:
        verdict.fit |= 1 << JULIAN_DAY
    question.kind = KIND_REAL
    return weigh(tally, question, &verdict, SQLITE_FLOAT, <const unsigned char *>&value, 8, to)


cdef long long count_with_nul(const unsigned char *text, size_t size, int *nul) noexcept nogil:
    """Return the code points of valid UTF-8, -1 for anything else, and whether there is a NUL."""
    cdef size_t at = 0
    cdef long long characters = 0
    cdef int length
    while at < size:
        length = 1
        if text[at] == 0:
            nul[0] = 1
        elif text[at] > 0x7F:
            length = utf8_rest(text + at, size - at)
            if not length:
                return -1
        at += length
        characters += 1
    return characters


cdef int survey_text(Tally *tally, Question *question, const unsigned char *text, size_t size, Buffer *to) noexcept nogil:
    cdef Verdict verdict
    cdef int nul = 0
    cdef long long characters = count_characters(text, size)
    if characters < 0:
        characters = count_with_nul(text, size, &nul)
    tally.texts += 1
    tally.bytes += size
    if <long long>size > tally.most_bytes:
        tally.most_bytes = size
    verdict.fit = verdict.unsure = 0
    if characters < 0:
        tally.broken += 1
        question.kind = KIND_BROKEN
        return weigh(tally, question, &verdict, SQLITE_TEXT, text, size, to)
    if characters > tally.most_chars:
        tally.most_chars = characters
    tally.nul += nul
    if not size:
        tally.empty += 1
        return WRITTEN
    if not tally.alive:
        return WRITTEN
    verdict.scale = verdict.digits = 0
    judge_text(text, size, tally.alive, &verdict)
    if tally.counts_text_digits:
        if verdict.fit >> NUM_TEXT & 1:
            if verdict.scale > tally.scale:
                tally.scale = verdict.scale
            if verdict.digits > tally.digits:
                tally.digits = verdict.digits
        question.wants_digits = verdict.unsure >> NUM_TEXT & 1
    question.kind = KIND_TEXT
    return weigh(tally, question, &verdict, SQLITE_TEXT, text, size, to)


cdef int survey_blob(Api *api, Tally *tally, Question *question, void *value, Buffer *to) noexcept nogil:
    cdef Verdict verdict
    cdef const unsigned char *data = api.value_blob(value)
    cdef long long size = api.value_bytes(value)
    if data == NULL and size:
        return NO_MEMORY
    if not tally.blobs or size < tally.blob_min:
        tally.blob_min = size
    if size > tally.blob_max:
        tally.blob_max = size
    tally.blobs += 1
    tally.bytes += size
    verdict.unsure = 0
    verdict.fit = 1 << UUID_ANY if size == 16 else 0
    question.kind = KIND_BLOB
    return weigh(tally, question, &verdict, SQLITE_BLOB, data, size, to)


cdef int survey(Api *api, Tally *tally, Hypotheses *limits, Question *question, void *value, Buffer *to) noexcept nogil:
    cdef int kind = api.value_type(value)
    cdef const unsigned char *text
    question.wants_digits = 0
    if kind == SQLITE_NULL:
        tally.nulls += 1
        return WRITTEN
    if kind == SQLITE_INTEGER:
        return survey_integer(tally, limits, question, api.value_int64(value), to)
    if kind == SQLITE_FLOAT:
        return survey_real(tally, limits, question, api.value_double(value), to)
    if kind == SQLITE_BLOB:
        return survey_blob(api, tally, question, value, to)
    text = api.value_text(value)
    if text == NULL:
        return NO_MEMORY
    return survey_text(tally, question, text, api.value_bytes(value), to)
