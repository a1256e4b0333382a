import CLibrary
import CV05
import Estimation

/// A struct of the caller, which may be older (shorter) or newer (longer) than the one this library knows.
struct CallerStruct<Value> {
    private let pointer: UnsafeMutableRawPointer
    private let knownSize: Int

    /// Longer than this is not a newer header but a size that was never set.
    private static var largestSize: Int { 4096 }

    init(_ caller: UnsafePointer<Value>?, _ argument: Text) throws(Failure) {
        guard let caller else { throw Failure(.nullPointer, "@ must not be NULL", naming: argument) }
        pointer = UnsafeMutableRawPointer(mutating: caller)
        let size = pointer.load(as: UInt.self)
        guard size >= 8 && size <= UInt(truncatingIfNeeded: CallerStruct.largestSize) && size & 7 == 0 else {
            throw Failure(
                .structSize, "@ must have its struct_size set to its sizeof",
                naming: argument, integer: Int(truncatingIfNeeded: size))
        }
        var offset = MemoryLayout<Value>.size
        knownSize = min(Int(truncatingIfNeeded: size), offset)
        while offset < Int(truncatingIfNeeded: size) {
            if pointer.load(fromByteOffset: offset, as: UInt8.self) != 0 {
                throw Failure(
                    .structSize, "@ uses fields that are newer than this library (compare v05_version)",
                    naming: argument)
            }
            offset &+= 1
        }
    }

    /// Lays what the caller has over `value`, which keeps the rest.
    func read(over value: inout Value) {
        withUnsafeMutablePointer(to: &value) { _ = memmove($0, pointer, knownSize) }
    }

    /// Writes back what the caller has room for, the size field aside.
    func write(_ value: Value) {
        withUnsafePointer(to: value) { source in
            _ = memmove(pointer + 8, UnsafeRawPointer(source) + 8, knownSize &- 8)
        }
    }
}

/// Size of a struct that the caller wants filled in, which may be shorter than the one known here.
func initializableSize<Value>(
    _ pointer: UnsafeMutablePointer<Value>?, _ size: Int, _ argument: Text
) throws(Failure) -> Int {
    guard pointer != nil else { throw Failure(.nullPointer, "@ must not be NULL", naming: argument) }
    guard size >= 8 && size <= MemoryLayout<Value>.size && size & 7 == 0 else {
        throw Failure(
            .structSize, "struct_size must be the sizeof of a struct that this library knows",
            integers: size, MemoryLayout<Value>.size)
    }
    return size
}

func copyPrefix<Value>(of value: UnsafePointer<Value>, to target: UnsafeMutablePointer<Value>?, size: Int) {
    guard let target else { return }
    _ = memmove(target, value, size)
}
