// An empty Python module: importing it runs the operator registrations.
#include <Python.h>

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_cuda", nullptr, -1, nullptr, nullptr, nullptr, nullptr, nullptr};

extern "C" PyMODINIT_FUNC PyInit__cuda(void) { return PyModule_Create(&definition); }
