import CLibrary
import Estimation

/// Puts a value behind an opaque handle of the caller's. `release` gives back what the value owns if there is no
/// memory for the handle.
func newHandle<Value>(_ value: Value, release: (Value) -> Void) throws(Failure) -> OpaquePointer {
    guard let memory = malloc(MemoryLayout<Value>.size) else {
        release(value)
        throw Failure(.outOfMemory, "handle could not be allocated")
    }
    memory.assumingMemoryBound(to: Value.self).initialize(to: value)
    return OpaquePointer(memory)
}

@inline(never)
func opened<Value>(_ pointer: OpaquePointer?, _ argument: Text) throws(Failure) -> UnsafeMutablePointer<Value> {
    guard let pointer else { throw Failure(.nullPointer, "@ must not be NULL", naming: argument) }
    return UnsafeMutablePointer(pointer)
}

func destroyHandle<Value>(_ pointer: OpaquePointer?, release: (Value) -> Void) {
    guard let pointer else { return }
    let memory = UnsafeMutablePointer<Value>(pointer)
    release(memory.pointee)
    free(memory)
}
