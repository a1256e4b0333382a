import CPython
import Foundation

/// CPython in this process: started on first use, without signal handlers, and never stopped.
enum Python {
    enum Value: Equatable, CustomStringConvertible {
        case number(Double)
        case text(String)

        /// Numbers bit by bit, so that NaN is equal to itself.
        static func == (first: Value, second: Value) -> Bool {
            switch (first, second) {
            case (.number(let first), .number(let second)):
                first.bitPattern == second.bitPattern || (first.isNaN && second.isNaN)
            case (.text(let first), .text(let second)): first == second
            default: false
            }
        }

        var description: String {
            switch self {
            case .number(let number): "\(number)"
            case .text(let text): text
            }
        }
    }

    struct Failure: Error, CustomStringConvertible { let description: String }

    /// The folders of v05 and of numpy, for the Python that libpython is.
    private static let path = ProcessInfo.processInfo.environment["V05_PYTHONPATH"] ?? ""
    static var isAvailable: Bool { !path.isEmpty }

    static let handlersBefore: SignalHandlers = {
        let before = SignalHandlers()
        Py_InitializeEx(0)
        _ = PyEval_SaveThread()
        return before
    }()

    /// Runs a program and returns the list of floats and strings that it leaves in `result`.
    static func run(_ program: String) throws -> [Value] {
        _ = handlersBefore
        let lock = PyGILState_Ensure()
        defer { PyGILState_Release(lock) }
        guard let globals = PyDict_New() else { throw Failure(description: "no memory") }
        defer { Py_DecRef(globals) }
        // An exception becomes the result, with its traceback.
        PyDict_SetItemString(globals, "path", PyUnicode_FromString(path))
        PyDict_SetItemString(globals, "program", PyUnicode_FromString(program))
        let around = """
            import sys, traceback
            sys.path[:0] = [folder for folder in path.split(":") if folder not in sys.path]
            try:
                exec(program)
                failure = ""
            except BaseException:
                failure = traceback.format_exc()
            """
        guard let none = PyRun_String(around, Py_file_input, globals, globals) else {
            PyErr_Print()
            throw Failure(description: "Python could not run the program")
        }
        Py_DecRef(none)
        if let failure = text(PyDict_GetItemString(globals, "failure")), !failure.isEmpty {
            throw Failure(description: failure)
        }
        let result = PyDict_GetItemString(globals, "result")
        return (0..<PyList_Size(result)).map { index in
            let item = PyList_GetItem(result, index)
            return text(item).map(Value.text) ?? .number(PyFloat_AsDouble(item))
        }
    }

    private static func text(_ object: UnsafeMutablePointer<PyObject>?) -> String? {
        guard let object, let type = PyObject_Type(object) else { return nil }
        defer { Py_DecRef(type) }
        guard PyObject_IsInstance(object, PyDict_GetItemString(PyEval_GetBuiltins(), "str")) == 1 else { return nil }
        return PyUnicode_AsUTF8(object).map { String(cString: $0) }
    }
}

/// What happens at each signal.
struct SignalHandlers {
    private struct Action: Equatable {
        var handler: UInt
        var flags: Int32
    }

    private let actions: [Action]

    init() {
        actions = (1..<65).map { signal in
            var action = sigaction()
            // The C library keeps two signals to itself.
            guard sigaction(Int32(signal), nil, &action) == 0 else { return Action(handler: 0, flags: 0) }
            // The handler is the first field; much of the mask is never written by the C library.
            return Action(handler: withUnsafeBytes(of: action) { $0.load(as: UInt.self) }, flags: action.sa_flags)
        }
    }

    /// Numbers of the signals that are handled otherwise than before.
    func changes(since before: SignalHandlers) -> [Int] {
        actions.indices.filter { actions[$0] != before.actions[$0] }.map { $0 + 1 }
    }
}
