import CLibrary
import Estimation

/// All that an allocator observed, in the order of arrival.
struct ObservationLog {
    private(set) var count = 0
    private var capacity = 0
    private var prompts: UnsafeMutablePointer<Int32>?
    private var rewards: UnsafeMutablePointer<Double>?

    subscript(row: Int) -> (prompt: Int, reward: Double) {
        (Int(prompts?[row] ?? 0), rewards?[row] ?? 0)
    }

    /// Makes room, so that `append` cannot fail.
    mutating func reserve(_ additional: Int) throws(Failure) {
        let needed = count &+ additional
        if needed <= capacity { return }
        let grown = max(needed, max(2 &* capacity, 64))
        guard let grownPrompts = realloc(prompts, grown &* MemoryLayout<Int32>.stride) else {
            throw Failure(.outOfMemory, "allocator could not grow, observations", integer: grown)
        }
        prompts = grownPrompts.assumingMemoryBound(to: Int32.self)
        guard let grownRewards = realloc(rewards, grown &* MemoryLayout<Double>.stride) else {
            throw Failure(.outOfMemory, "allocator could not grow, observations", integer: grown)
        }
        rewards = grownRewards.assumingMemoryBound(to: Double.self)
        capacity = grown
    }

    mutating func append(_ prompt: Int, _ reward: Double) {
        prompts?[count] = Int32(truncatingIfNeeded: prompt)
        rewards?[count] = reward
        count &+= 1
    }

    func release() {
        free(prompts)
        free(rewards)
    }
}
