import Estimation

/// Writes a checkpoint into the caller's buffer, or only says its size where there is no buffer.
@inline(__always)
func save(
    _ kind: CheckpointKind, payloadSize: Int, memory: CallMemory = CallMemory(),
    to bytes: UnsafeMutablePointer<UInt8>?, capacity: Int, size: UnsafeMutablePointer<Int>?,
    payload: (inout CheckpointWriter) -> Void
) throws(Failure) {
    var memory = memory
    guard var writer = try begin(kind, payloadSize, &memory, bytes, capacity, size) else { return }
    payload(&writer)
    writer.finish()
}

/// nil where there is no buffer.
@inline(never)
private func begin(
    _ kind: CheckpointKind, _ payloadSize: Int, _ memory: inout CallMemory, _ bytes: UnsafeMutablePointer<UInt8>?,
    _ capacity: Int, _ size: UnsafeMutablePointer<Int>?
) throws(Failure) -> CheckpointWriter? {
    guard let size else { throw Failure(.nullPointer, "size must not be NULL") }
    let needed = CheckpointWriter.size(payload: payloadSize)
    try memory.writes(size, 1, "size")
    guard let bytes else {
        if capacity != 0 { throw Failure(.nullPointer, "bytes must not be NULL unless capacity is 0") }
        size.pointee = needed
        return nil
    }
    guard capacity >= needed else {
        throw Failure(
            .capacityTooSmall, "capacity must be at least the size of the checkpoint", integers: capacity, needed)
    }
    try memory.writes(bytes, needed, "bytes")
    size.pointee = needed
    return CheckpointWriter(kind, payloadSize: payloadSize, to: bytes)
}

@inline(never)
private func open(
    _ kind: CheckpointKind, _ bytes: UnsafePointer<UInt8>?, _ size: Int
) throws(Failure) -> CheckpointReader {
    guard let bytes else { throw Failure(.nullPointer, "bytes must not be NULL") }
    guard size >= 0 else { throw Failure(.invalidSize, "size must not be negative", integer: size) }
    return try CheckpointReader(kind, bytes: bytes, size: size)
}

/// Reads an object from a checkpoint. Contents that the object refuses are a damaged checkpoint to the caller, whose
/// arguments are not to blame.
@inline(__always)
func load(
    _ kind: CheckpointKind, _ bytes: UnsafePointer<UInt8>?, _ size: Int,
    _ body: (inout CheckpointReader) throws(Failure) -> Void
) throws(Failure) {
    var reader = try open(kind, bytes, size)
    do {
        try body(&reader)
    } catch {
        throw refusal(error)
    }
}

@inline(never)
private func refusal(_ error: Failure) -> Failure {
    error.kind == .outOfMemory
        ? error : Failure(.checkpointCorrupted, "checkpoint must hold a possible state of its object")
}
