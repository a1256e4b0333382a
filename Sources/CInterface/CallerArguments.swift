import Estimation

/// A number of rows, prompts or keys.
@inline(never)
func checkedCount(_ count: Int64, _ argument: Text) throws(Failure) -> Int {
    guard count >= 0 && count <= Int64(largestRowCount) else {
        throw Failure(.invalidSize, "@ must lie in 0 to 2147483647", naming: argument, integer: Int(count))
    }
    return Int(count)
}

/// An output array that has room for `count` results.
func checkedArray<Element>(
    _ pointer: UnsafeMutablePointer<Element>?, _ argument: Text, _ capacity: Int64, atLeast count: Int
) throws(Failure) -> UnsafeMutablePointer<Element> {
    guard let pointer else { throw Failure(.nullPointer, "@ must not be NULL", naming: argument) }
    guard capacity >= Int64(count) else {
        throw Failure(
            .capacityTooSmall, "capacity must be at least the number of results", integers: Int(capacity), count)
    }
    return pointer
}

extension Interval {
    @inline(never)
    init(checking low: Double, _ high: Double) throws(Failure) {
        guard low < high && low >= -largestReward && high <= largestReward else {
            throw Failure(
                .invalidOption, "reward_range must be two finite numbers (at most 1e30), the lower one first",
                reals: low, high)
        }
        self.init(low: low, high: high)
    }
}

extension Failure {
    static func option(_ text: Text, _ value: Int) -> Failure {
        Failure(.invalidOption, text, integer: value)
    }
}

@inline(never)
private func workspace(_ base: UnsafeMutableRawPointer?, _ size: Int) throws(Failure) -> Workspace {
    guard let base else { return Workspace() }
    guard size >= 0 else {
        throw Failure(.invalidSize, "workspace_size must not be negative", integer: size)
    }
    return Workspace(base: base, size: size)
}

/// The caller's workspace, or one from malloc that is given back.
@inline(__always)
func withWorkspace(
    _ base: UnsafeMutableRawPointer?, _ size: Int, _ body: (inout Workspace) throws(Failure) -> Void
) throws(Failure) {
    var workspace = try workspace(base, size)
    do {
        try body(&workspace)
    } catch {
        workspace.release()
        throw error
    }
    workspace.release()
}

/// A literal as C reads it.
func staticText(_ text: Text) -> UnsafePointer<CChar> {
    UnsafeRawPointer(text.start).assumingMemoryBound(to: CChar.self)
}
