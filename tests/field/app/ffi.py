#!/usr/bin/python3
import cffi
ffi = cffi.FFI()
ffi.cdef("int abs(int);")
print(ffi.dlopen(None).abs(-42))
