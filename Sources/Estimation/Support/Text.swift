/// A literal, as bytes. `StaticString` checks its own representation whenever it is read, which is a trap in
/// the binary; this reads it once, where the compiler knows the answer.
public struct Text: ExpressibleByStringLiteral, @unchecked Sendable {
    /// NUL-terminated, alive as long as the library.
    public let start: UnsafePointer<UInt8>

    @_alwaysEmitIntoClient @inline(__always)
    public init(stringLiteral text: StaticString) { start = text.utf8Start }
}
