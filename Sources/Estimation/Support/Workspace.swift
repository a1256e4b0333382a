import CLibrary

/// Scratch memory of one call: the caller's block, cut piece by piece, or pieces from `malloc`, which
/// `release` gives back. Swift's own arrays are not used, because a failed allocation there would end the
/// process.
public struct Workspace {
    public static let alignment = 64

    private var next: UnsafeMutableRawPointer?
    private var remaining: Int
    private let ownsPieces: Bool
    /// The piece from `malloc` that was taken last; its first word points to the one before.
    private var lastPiece: UnsafeMutableRawPointer?

    /// Memory of the caller.
    public init(base: UnsafeMutableRawPointer, size: Int) {
        let address = UInt(bitPattern: base)
        let padding = Int(truncatingIfNeeded: (0 &- address) & UInt(truncatingIfNeeded: Workspace.alignment &- 1))
        next = base + padding
        remaining = size &- padding
        ownsPieces = false
    }

    /// Memory from `malloc`; `release` must be called.
    public init() {
        next = nil
        remaining = 0
        ownsPieces = true
    }

    /// Bytes that `take` needs for the same arguments.
    public static func size<Element>(of element: Element.Type, count: Int) -> Int {
        (count &* MemoryLayout<Element>.stride &+ alignment &- 1) & ~(alignment &- 1)
    }

    @inline(never)
    public mutating func take<Element>(
        _ element: Element.Type, count: Int
    ) throws(Failure) -> UnsafeMutablePointer<Element> {
        try take(Workspace.size(of: element, count: count)).assumingMemoryBound(to: Element.self)
    }

    @inline(never)
    private mutating func take(_ size: Int) throws(Failure) -> UnsafeMutableRawPointer {
        if ownsPieces {
            guard let piece = malloc(size &+ Workspace.alignment) else {
                throw Failure(.outOfMemory, "workspace could not be allocated, bytes", integer: size)
            }
            piece.storeBytes(of: UInt(bitPattern: lastPiece), as: UInt.self)
            lastPiece = piece
            return piece + Workspace.alignment
        }
        guard size <= remaining, let memory = next else {
            throw Failure(.workspaceTooSmall, "workspace_size must be at least what v05_estimation_workspace_size says")
        }
        next = memory + size
        remaining &-= size
        return memory
    }

    /// Gives back all that was taken since `earlier` was a copy of this workspace.
    mutating func release(downTo earlier: Workspace) {
        while ownsPieces, let piece = lastPiece, piece != earlier.lastPiece {
            lastPiece = UnsafeMutableRawPointer(bitPattern: piece.load(as: UInt.self))
            free(piece)
        }
        self = earlier
    }

    @inline(never)
    public mutating func release() {
        while let piece = lastPiece {
            lastPiece = UnsafeMutableRawPointer(bitPattern: piece.load(as: UInt.self))
            free(piece)
        }
    }
}
