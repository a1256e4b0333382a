import CLibrary
import CV05
import Estimation

/// A struct of the caller, which may be older (shorter) or newer (longer) than the one this library knows.
struct CallerStruct<Value> {
    private let bytes: CallerBytes

    init(_ caller: UnsafePointer<Value>?, _ argument: Text) throws(Failure) {
        bytes = try CallerBytes(UnsafeRawPointer(caller), known: MemoryLayout<Value>.size, argument)
    }

    /// It is written to: see CallMemory.
    func claim(in memory: inout CallMemory, _ argument: Text) throws(Failure) {
        try memory.writes(bytes.pointer, bytes: bytes.knownSize, argument)
    }

    /// Lays what the caller has over `value`, which keeps the rest.
    func read(over value: inout Value) {
        withUnsafeMutablePointer(to: &value) { _ = memmove($0, bytes.pointer, bytes.knownSize) }
    }

    /// Writes back what the caller has room for, the size field aside.
    func write(_ value: Value) {
        withUnsafePointer(to: value) { source in
            _ = memmove(bytes.pointer + 8, UnsafeRawPointer(source) + 8, bytes.knownSize &- 8)
        }
    }
}

private struct CallerBytes {
    let pointer: UnsafeMutableRawPointer
    /// Bytes that both sides know.
    let knownSize: Int

    @inline(never)
    init(_ caller: UnsafeRawPointer?, known: Int, _ argument: Text) throws(Failure) {
        guard let caller else { throw Failure(.nullPointer, "@ must not be NULL", naming: argument) }
        pointer = UnsafeMutableRawPointer(mutating: caller)
        let size = pointer.load(as: Int.self)
        guard isStructSize(size) else {
            throw Failure(
                .structSize, "@ must have its struct_size set to its sizeof", naming: argument, integer: size)
        }
        knownSize = min(size, known)
        var offset = known
        while offset < size {
            if pointer.load(fromByteOffset: offset, as: UInt8.self) != 0 {
                throw Failure(
                    .structSize, "@ uses fields that are newer than this library (compare v05_version)",
                    naming: argument)
            }
            offset &+= 1
        }
    }
}

/// More than 4096 is not a newer header but a size that was never set.
@inline(never)
func isStructSize(_ size: Int) -> Bool { size >= 8 && size <= 4096 && size & 7 == 0 }

/// Fills in a struct of the caller: as much of it as both sides know, zero in what only the caller knows.
func initialize<Value>(
    _ pointer: UnsafeMutablePointer<Value>?, _ size: Int, _ argument: Text, to value: Value
) throws(Failure) {
    try withUnsafePointer(to: value) { (source) throws(Failure) in
        try initialize(UnsafeMutableRawPointer(pointer), size, argument, source, MemoryLayout<Value>.size)
    }
}

@inline(never)
private func initialize(
    _ pointer: UnsafeMutableRawPointer?, _ size: Int, _ argument: Text, _ source: UnsafeRawPointer, _ known: Int
) throws(Failure) {
    guard let pointer else { throw Failure(.nullPointer, "@ must not be NULL", naming: argument) }
    guard isStructSize(size) else {
        throw Failure(.structSize, "struct_size must be the sizeof of @", naming: argument, integer: size)
    }
    memset(pointer, 0, size)
    memmove(pointer, source, min(size, known))
    pointer.storeBytes(of: size, as: Int.self)
}
