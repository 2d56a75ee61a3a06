// An importable module without contents: importing it runs the registrations of the other files.
#include <Python.h>

#define SK_CONCAT_(a, b) a##b
#define SK_CONCAT(a, b) SK_CONCAT_(a, b)
#define SK_STRING_(x) #x
#define SK_STRING(x) SK_STRING_(x)
extern "C" __attribute__((visibility("default"))) PyObject* SK_CONCAT(PyInit_, SK_MODULE_NAME)(void) {
  static PyModuleDef definition = {PyModuleDef_HEAD_INIT, SK_STRING(SK_MODULE_NAME), nullptr, -1, nullptr, nullptr, nullptr, nullptr, nullptr};
  return PyModule_Create(&definition);
}
