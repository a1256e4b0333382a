"""The shim: libv05.so called by ctypes, one file per concept of v05.h."""
