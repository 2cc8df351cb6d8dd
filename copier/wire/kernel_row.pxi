# One row: its COPY tuple, or its values as they are, to become Python objects later.

cdef int write_value(Api *api, Column *column, void *value, Buffer *out) noexcept nogil:
    if api.value_type(value) == SQLITE_NULL:
        return write_null(out)
    if column.kind == TEXT:
        return write_text(api, column, value, out)
    if INT2 <= column.kind <= INT8:
        return write_integer(api, column, value, out)
    if column.kind >= TIMESTAMPTZ:
        return write_moment(api, column, value, out)
    if column.kind == UUID:
        return write_uuid(api, value, out)
    if column.kind == BOOL:
        return write_bool(api, value, out)
    if column.kind == FLOAT8 or column.kind == FLOAT4:
        return write_real(api, column, value, out)
    if column.kind == NUMERIC:
        return write_numeric(api, column, value, out)
    if column.kind == BYTEA:
        return write_blob(api, value, out)
    if column.kind == JSON or column.kind == JSONB:
        return write_json(api, column, value, out)
    return write_inet(api, column, value, out)


cdef int write_row(Api *api, void *statement, Column *columns, int count, Buffer *out) noexcept nogil:
    """Append one tuple; the buffer is as before unless it was WRITTEN."""
    cdef size_t start = out.size
    cdef int index, done
    if not reserve(out, 2 + <size_t>count * 20):
        return NO_MEMORY
    put16(out.data + start, count)
    out.size += 2
    for index in range(count):
        done = write_value(api, &columns[index], api.column_value(statement, index), out)
        if done != WRITTEN:
            out.size = start
            return done
    if out.size - start > MAX_FIELD:
        out.size = start
        return UNKNOWN
    return WRITTEN


cdef int spill_value(Api *api, void *value, Buffer *spill) noexcept nogil:
    """Append storage class, number or length, and bytes: the value as it is, to become a Python object later."""
    cdef int kind = api.value_type(value)
    cdef const unsigned char *data = NULL
    cdef long long number = 0
    cdef double real
    cdef size_t size = 0
    if kind == SQLITE_INTEGER:
        number = api.value_int64(value)
    elif kind == SQLITE_FLOAT:
        real = api.value_double(value)
        memcpy(&number, &real, 8)
    elif kind != SQLITE_NULL:
        data = api.value_text(value) if kind == SQLITE_TEXT else api.value_blob(value)
        size = api.value_bytes(value)
        if data == NULL and (size or kind == SQLITE_TEXT):
            return NO_MEMORY
        number = size
    if not reserve(spill, 9 + size):
        return NO_MEMORY
    spill.data[spill.size] = <unsigned char>kind
    memcpy(spill.data + spill.size + 1, &number, 8)
    if size:
        memcpy(spill.data + spill.size + 9, data, size)
    spill.size += 9 + size
    return WRITTEN


cdef int spill_values(Api *api, void *statement, int first, int count, Buffer *spill) noexcept nogil:
    cdef int index, done
    for index in range(first, first + count):
        done = spill_value(api, api.column_value(statement, index), spill)
        if done != WRITTEN:
            return done
    return WRITTEN


cdef tuple take_row(Buffer *spill, size_t *at, int count):
    """Return the next `count` values as Python objects, text that is no UTF-8 as BrokenText."""
    cdef const unsigned char *place
    cdef long long number
    cdef double real
    values = []
    for _ in range(count):
        place = spill.data + at[0]
        memcpy(&number, place + 1, 8)
        at[0] += 9
        if place[0] == SQLITE_INTEGER:
            values.append(number)
        elif place[0] == SQLITE_FLOAT:
            memcpy(&real, place + 1, 8)
            values.append(real)
        elif place[0] == SQLITE_NULL:
            values.append(None)
        else:
            at[0] += <size_t>number
            values.append(python_bytes(place + 9, number, place[0] == SQLITE_TEXT))
    return tuple(values)


cdef object python_bytes(const unsigned char *data, Py_ssize_t size, bint text):
    if not text:
        return PyBytes_FromStringAndSize(<const char *>data, size)
    try:
        return PyUnicode_DecodeUTF8(<const char *>data, size, NULL)
    except UnicodeDecodeError:
        return BrokenText(PyBytes_FromStringAndSize(<const char *>data, size))
