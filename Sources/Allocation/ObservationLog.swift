import CLibrary
import Estimation

/// All that an allocator observed, in the order of arrival.
struct ObservationLog {
    private(set) var count = 0
    private var capacity = 0
    private var prompts: UnsafeMutablePointer<Int32>?
    private var rewards: UnsafeMutablePointer<Double>?
    /// What comes with score weights.
    private var weighing: Weighing?

    private struct Weighing {
        var weights: UnsafeMutablePointer<Double>?
        /// Where the observation of the same prompt before each is; -1: none.
        var previous: UnsafeMutablePointer<Int32>?
        /// One prompt's rewards and weights.
        var scratchRewards: UnsafeMutablePointer<Double>?
        var scratchWeights: UnsafeMutablePointer<Double>?
    }

    subscript(row: Int) -> (prompt: Int, reward: Double) {
        (Int(prompts?[row] ?? 0), rewards?[row] ?? 0)
    }

    /// Some observation came with a weight.
    private(set) var isWeighted = false
    /// Weights have a place, whether any came or not.
    var canWeigh: Bool { weighing != nil }

    func weight(_ row: Int) -> Double { weighing?.weights?[row] ?? 1 }

    /// Makes room, so that `append` cannot fail.
    mutating func reserve(_ additional: Int) throws(Failure) {
        let needed = count &+ additional
        if needed <= capacity { return }
        let grown = max(needed, max(2 &* capacity, 64))
        prompts = try ObservationLog.grow(prompts, grown)
        rewards = try ObservationLog.grow(rewards, grown)
        if let old = weighing { weighing = try ObservationLog.grow(old, grown, &weighing) }
        capacity = grown
    }

    /// Observations may have weights from here on; those so far have 1.
    /// - Parameter newest: where each prompt's newest observation is to be kept.
    mutating func weigh(_ newest: (Int, Int32) -> Int32) throws(Failure) {
        if canWeigh { return }
        weighing = Weighing()
        do {
            weighing = try ObservationLog.grow(Weighing(), max(capacity, 1), &weighing)
        } catch {
            releaseWeighing()
            throw error
        }
        var row = 0
        while row < count {
            weighing?.weights?[row] = 1
            weighing?.previous?[row] = newest(self[row].prompt, Int32(truncatingIfNeeded: row))
            row &+= 1
        }
    }

    mutating func append(_ prompt: Int, _ reward: Double) {
        prompts?[count] = Int32(truncatingIfNeeded: prompt)
        rewards?[count] = reward
        count &+= 1
    }

    /// Of the observation that was appended last; nil: none was given.
    mutating func setWeight(_ weight: Double?, previous: Int32) {
        isWeighted = isWeighted || weight != nil
        weighing?.weights?[count &- 1] = weight ?? 1
        weighing?.previous?[count &- 1] = previous
    }

    /// Of the prompt whose newest observation that is; nil where its weights are all alike.
    func weightedMean(newest: Int32) -> WeightedMean? {
        guard let weighing, let rows = weighing.scratchRewards, let weights = weighing.scratchWeights else {
            return nil
        }
        let first = weight(Int(newest))
        var areAlike = first >= smallestWeight
        var used = 0
        var row = Int(newest)
        while row >= 0 {
            areAlike = areAlike && weight(row) == first
            if weight(row) >= smallestWeight {
                rows[used] = self[row].reward
                weights[used] = weight(row)
                used &+= 1
            }
            row = Int(weighing.previous?[row] ?? -1)
        }
        return areAlike ? nil : WeightedMean(rows, weights, count: used)
    }

    func release() {
        free(prompts)
        free(rewards)
        var log = self
        log.releaseWeighing()
    }

    private mutating func releaseWeighing() {
        free(weighing?.weights)
        free(weighing?.previous)
        free(weighing?.scratchRewards)
        free(weighing?.scratchWeights)
        weighing = nil
    }

    /// - Parameter kept: has each array that has already moved, should the next one fail.
    private static func grow(
        _ old: Weighing, _ size: Int, _ kept: inout Weighing?
    ) throws(Failure) -> Weighing {
        var grown = old
        grown.weights = try grow(old.weights, size)
        kept = grown
        grown.previous = try grow(old.previous, size)
        kept = grown
        grown.scratchRewards = try grow(old.scratchRewards, size)
        kept = grown
        grown.scratchWeights = try grow(old.scratchWeights, size)
        return grown
    }

    private static func grow<Element>(
        _ old: UnsafeMutablePointer<Element>?, _ size: Int
    ) throws(Failure) -> UnsafeMutablePointer<Element> {
        guard let grown = realloc(old, size &* MemoryLayout<Element>.stride) else {
            throw Failure(.outOfMemory, "allocator could not grow, observations", integer: size)
        }
        return grown.assumingMemoryBound(to: Element.self)
    }
}
