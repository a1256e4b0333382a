import CV05
import Foundation
import SeededRandom
import Synchronization
import Testing

struct ThreadTests {
    @Test func sixteenAtOnce() {
        var random = SeededRandom(1)
        let rollouts = Rollouts.random(20, .any, using: &random)
        let expected = results(rollouts)
        let mismatches = Atomic(0)
        let finished = DispatchGroup()
        for _ in 0..<16 {
            finished.enter()
            Thread {
                for _ in 0..<2 where results(rollouts) != expected { mismatches.add(1, ordering: .relaxed) }
                finished.leave()
            }.start()
        }
        finished.wait()
        #expect(mismatches.load(ordering: .relaxed) == 0)
    }

    /// Predictions of one history may run together.
    @Test func oneHistoryReadBySixteen() throws {
        let history = try History()
        let keys = (0..<500).map { Int64($0) }
        try history.record(Rollouts(rewards: keys.map { Double($0 % 7) / 7 }, ids: keys))
        let expected = history.predict(keys).values
        let mismatches = Atomic(0)
        let finished = DispatchGroup()
        nonisolated(unsafe) let shared = history
        for _ in 0..<16 {
            finished.enter()
            Thread {
                for _ in 0..<10 where shared.predict(keys).values != expected { mismatches.add(1, ordering: .relaxed) }
                finished.leave()
            }.start()
        }
        finished.wait()
        #expect(mismatches.load(ordering: .relaxed) == 0)
    }
}

/// Every rule on the same rollouts.
private func results(_ rollouts: Rollouts) -> [[[UInt64]]] {
    v05_estimation_options.all.filter { $0.test == 0 && $0.scale == 1 }.map { options in
        let call = EstimateCall(rollouts, .single, options)
        _ = call.estimate(nil)
        return call.bits
    }
}
