# What the columns of a table hold, counted while SQLite steps through the table.

cdef class ProfileScanner(Scanner):
    """Counts what the columns hold. Values it cannot judge come back in place of a payload, as questions:

    (column, row, kind, value, indexes of the forms to ask for, indexes of the forms it is the first not to have,
    whether its digits are wanted). They are to be settled, and the block ended, before the next scan. Values that only
    are examples come cut.
    """

    cdef Tally *tallies
    cdef Hypotheses limits
    cdef long long row
    cdef long long block_row
    cdef ParentWatch *watches
    cdef int watch_count
    cdef list watched

    def __cinit__(self, Library library not None, Columns columns not None, int key_width, Py_ssize_t page_bytes):
        self.watched = []
        self.tallies = <Tally *>calloc(columns.count + 1, sizeof(Tally))
        if self.tallies == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.tallies)
        free(self.watches)

    def expect(self, digits, ranges, give_up):
        """Set what is looked for. `digits`: of each column, whether those of reals and of texts are counted. `ranges`:
        first and last of the three epochs and the julian day. `give_up`: PATIENCE, TOLERANCE, BLOCK_ROWS.
        """
        cdef int index
        if len(digits) != self.columns.count:
            raise ValueError("one pair for each column")
        for index, (of_reals, of_texts) in enumerate(digits):
            self.tallies[index].counts_digits = of_reals
            self.tallies[index].counts_text_digits = of_texts
            self.tallies[index].alive = (1 << FORM_COUNT) - 1
        for index in range(3):
            self.limits.first[index], self.limits.last[index] = ranges[index]
        self.limits.julian_first, self.limits.julian_last = ranges[3]
        self.limits.patience, self.limits.tolerance, self.limits.block_rows = give_up

    def watch(self, int column, ParentKeys parents not None):
        """Count the rows whose value in a column is none of these keys."""
        cdef ParentWatch *grown
        if not 0 <= column < self.columns.count:
            raise ValueError("no such column")
        grown = <ParentWatch *>realloc(self.watches, (self.watch_count + 1) * sizeof(ParentWatch))
        if grown == NULL:
            raise MemoryError
        self.watches = grown
        memset(&grown[self.watch_count], 0, sizeof(ParentWatch))
        grown[self.watch_count].column = column
        grown[self.watch_count].keys = &parents.keys
        self.watch_count += 1
        self.watched.append(parents)

    def orphans(self):
        """Return, for each column watched, the rows without a parent; None where that cannot be said."""
        return [None if self.watches[i].inexact else self.watches[i].orphans for i in range(self.watch_count)]

    def settle(self, int column, int form, bint fits):
        """Count the answer to a question."""
        if not (0 <= column < self.columns.count and 0 <= form < FORM_COUNT):
            raise ValueError("no such column or form")
        if fits:
            self.tallies[column].fitted[form] += 1
        else:
            self.tallies[column].refuted[form] += 1

    def widen(self, int column, int scale, int digits):
        """Count the digits of a number asked for."""
        if not 0 <= column < self.columns.count:
            raise ValueError("no such column")
        self.tallies[column].scale = max(self.tallies[column].scale, scale)
        self.tallies[column].digits = max(self.tallies[column].digits, digits)

    def end_block(self, bint last=False):
        """Give up forms when a block is full, or the table ends."""
        if last or self.block_row == self.limits.block_rows:
            self.give_up()

    def tally(self, int column):
        """Return what a column holds, by the names of `Tally`; `forms`: for each alive, how many fit and how many not."""
        if not 0 <= column < self.columns.count:
            raise ValueError("no such column")
        cdef Tally *tally = &self.tallies[column]
        found = dict(tally[0])
        alive = [form for form in range(FORM_COUNT) if tally.alive >> form & 1]
        found["forms"] = {PROFILE_FORMS[form]: (tally.fitted[form], tally.refuted[form]) for form in alive}
        return found

    cdef void give_up(self) noexcept nogil:
        cdef Tally *tally
        cdef int index, form
        cdef double limit
        for index in range(self.columns.count):
            tally = &self.tallies[index]
            limit = tally.seen * self.limits.tolerance
            if limit < self.limits.patience:
                limit = self.limits.patience
            for form in range(FORM_COUNT):
                if tally.refuted[form] > limit:
                    tally.alive &= ~(<uint32_t>1 << form)
        self.block_row = 0

    cdef long long sum_bytes(self) noexcept nogil:
        cdef long long size = 0
        cdef int index
        for index in range(self.columns.count):
            size += self.tallies[index].bytes
        return size

    cdef int fill(self, void *statement) noexcept nogil:
        cdef Api *api = &self.library.api
        cdef long long start = self.sum_bytes()
        cdef int code
        while self.read_rows < MAX_PAGE_ROWS:
            code = api.step(statement)
            if code != SQLITE_ROW:
                return code
            if self.note_key(statement) != WRITTEN or self.survey_row(statement) != WRITTEN:
                return SQLITE_NOMEM
            self.row += 1
            self.block_row += 1
            if self.block_row == self.limits.block_rows:
                if self.spill.size:
                    return SQLITE_ROW
                self.give_up()
            if self.spill.size >= self.limit or self.sum_bytes() - start >= <long long>self.limit:
                return SQLITE_ROW
        return SQLITE_ROW

    cdef int survey_row(self, void *statement) noexcept nogil:
        cdef Api *api = &self.library.api
        cdef Question question
        cdef void *value
        cdef int index
        memset(&question, 0, sizeof(Question))
        question.row = self.row
        for index in range(self.columns.count):
            question.column = index
            value = api.column_value(statement, index)
            if survey(api, &self.tallies[index], &self.limits, &question, value, &self.spill) != WRITTEN:
                return NO_MEMORY
        for index in range(self.watch_count):
            value = api.column_value(statement, self.watches[index].column)
            if look_up(api, &self.watches[index], value) != WRITTEN:
                return NO_MEMORY
        return WRITTEN

    cdef object page(self, bint more, Digest digest):
        cdef Question question
        cdef size_t at = 0
        questions = []
        while at < self.spill.size:
            memcpy(&question, self.spill.data + at, sizeof(Question))
            at += sizeof(Question)
            (value,) = take_row(&self.spill, &at, 1)
            questions.append((
                question.column, question.row, PROFILE_KINDS[question.kind], value,
                forms_of(question.unsure), forms_of(question.misfit), bool(question.wants_digits),
            ))
        first, last = self.take_keys()
        found = questions, self.read_rows, 0, first, last, [], more
        self.empty()
        return found


cdef list forms_of(uint32_t bits):
    return [form for form in range(FORM_COUNT) if bits >> form & 1]
