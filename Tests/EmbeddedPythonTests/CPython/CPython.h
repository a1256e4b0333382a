/* sys/select.h first: Python.h alone leaves it half imported, and Foundation then fails to import. */
#include <sys/select.h>
#include <Python.h>
