import CV05
import Testing

/// What a call returned and said.
struct Outcome {
    let status: v05_status
    let message: String
    let index: Int64

    init(_ call: (UnsafeMutablePointer<v05_error>) -> v05_status) {
        let memory = Memory()
        var empty = v05_error()
        empty.struct_size = MemoryLayout<v05_error>.size
        let error = memory.output(holding: empty)
        memory.watch()
        status = call(error)
        message = withUnsafeBytes(of: &error.pointee.message) {
            String(cString: $0.bindMemory(to: CChar.self).baseAddress!)
        }
        index = error.pointee.index
        if status == V05_STATUS_OK {
            #expect(memory.outputsAreUntouched, "an error was written by a call that succeeded")
        } else {
            #expect(error.pointee.status == Int32(bitPattern: status.rawValue))
            #expect(!message.isEmpty && !message.contains("\n") && !message.contains("@") && !message.contains("#"))
        }
    }

    var isOK: Bool { status == V05_STATUS_OK }

    /// Runs a call that must be refused: all outputs stay as they were, and the message holds these parts. The status
    /// is the same without an error struct, with one of another size and with one.
    static func expectRefusal(
        _ status: v05_status, _ parts: [String] = [], index: Int64? = nil, in memory: Memory,
        sourceLocation: SourceLocation = #_sourceLocation, _ call: (UnsafeMutablePointer<v05_error>?) -> v05_status
    ) {
        memory.watch()
        let outcome = Outcome(call)
        let found = name(outcome.status)
        #expect(found == name(status), "\(outcome.message)", sourceLocation: sourceLocation)
        for part in parts { #expect(outcome.message.contains(part), sourceLocation: sourceLocation) }
        if let index { #expect(outcome.index == index, sourceLocation: sourceLocation) }
        #expect(call(nil) == status, sourceLocation: sourceLocation)
        #expect(memory.outputsAreUntouched, "an output was written", sourceLocation: sourceLocation)
        #expect(memory.inputsAreUntouched, "an input was written", sourceLocation: sourceLocation)
    }

    static func name(_ status: v05_status) -> String {
        String(cString: v05_status_name(Int32(bitPattern: status.rawValue)))
    }
}
