import CLibrary
import CV05
import Estimation

/// Runs the body of an exported function in the library's mode of arithmetic: a failure becomes a status and a message.
@inline(never)
func reporting(
    to target: UnsafeMutablePointer<v05_error>?, _ body: () throws(Failure) -> Void
) -> v05_status {
    let mode = beginArithmetic()
    var status = V05_STATUS_OK
    do {
        try body()
    } catch {
        status = report(error, to: target)
    }
    endArithmetic(mode)
    return status
}

@inline(never)
private func beginArithmetic() -> UInt64 { v05_begin_arithmetic() }

@inline(never)
private func endArithmetic(_ mode: UInt64) { v05_end_arithmetic(mode) }

@inline(never)
private func report(_ failure: Failure, to error: UnsafeMutablePointer<v05_error>?) -> v05_status {
    let status = failure.kind.status
    // A size that was never set says nothing of the room there is; the status must be enough.
    guard let error, isStructSize(error.pointee.struct_size) else { return status }
    let room = min(error.pointee.struct_size, MemoryLayout<v05_error>.size)
    var found = v05_error()
    found.struct_size = error.pointee.struct_size
    found.status = Int32(truncatingIfNeeded: Int(status.rawValue))
    found.index = Int64(truncatingIfNeeded: failure.index)
    let beforeMessage = MemoryLayout<v05_error>.size &- MemoryLayout.size(ofValue: found.message)
    withUnsafeMutableBytes(of: &found.message) { bytes in
        var message = MessageWriter(
            UnsafeMutableRawBufferPointer(start: bytes.baseAddress, count: max(0, room &- beforeMessage)))
        message.append(failure)
    }
    memmove(error, &found, room)
    return status
}

/// Writes a message into a buffer of zeros, cut where it does not fit; the last byte stays zero.
private struct MessageWriter {
    private let buffer: UnsafeMutableRawBufferPointer
    private var length = 0

    init(_ buffer: UnsafeMutableRawBufferPointer) {
        self.buffer = buffer
    }

    /// "argument[index] rule, got value"
    mutating func append(_ failure: Failure) {
        var next = failure.text.start
        while next.pointee != 0 {
            switch next.pointee {
            case UInt8(ascii: "#"): append(failure.index)
            case UInt8(ascii: "@"): append(UnsafePointer<UInt8>(bitPattern: UInt(failure.first)))
            default: append(byte: next.pointee)
            }
            next += 1
        }
        switch failure.found {
        case .nothing, .name: break
        case .integer, .integers: append(", got ", integer: failure.first)
        case .real, .reals: append(", got ", real: failure.first)
        case .nameAndInteger: append(", got ", integer: failure.second)
        case .realInInterval:
            append(" [")
            append(Double(Float(bitPattern: UInt32(truncatingIfNeeded: failure.second &>> 32))), isFloat: true)
            append(", ")
            append(Double(Float(bitPattern: UInt32(truncatingIfNeeded: failure.second))), isFloat: true)
            append("], got ", real: failure.first)
        }
        if failure.found == .integers { append(" and ", integer: failure.second) }
        if failure.found == .reals { append(" and ", real: failure.second) }
    }

    private mutating func append(_ text: Text, integer: UInt64) {
        append(text)
        append(Int(truncatingIfNeeded: integer))
    }

    @inline(never)
    private mutating func append(_ text: Text, real: UInt64) {
        append(text)
        append(Double(bitPattern: real))
    }

    private mutating func append(_ text: Text) { append(text.start) }

    private mutating func append(_ start: UnsafePointer<UInt8>?) {
        guard var next = start else { return }
        while next.pointee != 0 {
            append(byte: next.pointee)
            next += 1
        }
    }

    @inline(never)
    private mutating func append(byte: UInt8) {
        if length &+ 1 >= buffer.count { return }
        buffer[length] = byte
        length &+= 1
    }

    private mutating func append(_ number: Int) {
        if number < 0 { append(byte: UInt8(ascii: "-")) }
        var divisor: UInt = 10_000_000_000_000_000_000
        var rest = number.magnitude
        var started = false
        while divisor > 0 {
            let digit = rest / divisor
            rest = rest &- digit &* divisor
            if digit > 0 || started || divisor == 1 {
                append(byte: 48 &+ UInt8(truncatingIfNeeded: digit))
                started = true
            }
            divisor /= 10
        }
    }

    /// The shortest of 6, 9 and 17 digits that says the number, as a float where it is one.
    @inline(never)
    private mutating func append(_ number: Double, isFloat: Bool = false) {
        withUnsafeTemporaryAllocation(byteCount: 64, alignment: 1) { text in
            guard let start = text.baseAddress?.assumingMemoryBound(to: CChar.self) else { return }
            _ = gcvt(number, 6, start)
            let isSaid = isFloat ? Float(strtod(start, nil)) == Float(number) : strtod(start, nil) == number
            if !isSaid { _ = gcvt(number, 9, start) }
            if !isFloat && strtod(start, nil) != number && !number.isNaN { _ = gcvt(number, 17, start) }
            var index = 0
            while index < 63 && start[index] != 0 {
                // The host's locale may have set another decimal point.
                let digit = UInt8(bitPattern: start[index])
                append(byte: digit == UInt8(ascii: ",") ? UInt8(ascii: ".") : digit)
                index &+= 1
            }
        }
    }
}
