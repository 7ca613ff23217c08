// An empty Python module: importing it runs the operator registrations.
#include <Python.h>

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_cpu", nullptr, -1, nullptr, nullptr, nullptr, nullptr, nullptr};

extern "C" PyMODINIT_FUNC PyInit__cpu(void) { return PyModule_Create(&definition); }
