import CInterface
import CV05
import Foundation
import SeededRandom
import Synchronization
import Testing

/// Sixteen threads, each with a history, a tracker and an allocator of its own: what one does, no other sees.
struct HandleThreadTests {
    @Test func everyThreadWithItsOwn() throws {
        let expected = try work()
        let mismatches = Atomic(0)
        let finished = DispatchGroup()
        for _ in 0..<16 {
            finished.enter()
            Thread {
                for _ in 0..<5 where (try? work()) != expected { mismatches.add(1, ordering: .relaxed) }
                finished.leave()
            }.start()
        }
        finished.wait()
        #expect(mismatches.load(ordering: .relaxed) == 0)
    }

    @Test func nothingIsDestroyed() {
        v05_history_destroy(nil)
        v05_tracker_destroy(nil)
        v05_allocator_destroy(nil)
    }
}

/// Visits, a checkpoint and a merge of a history and a tracker, and an allocator that is run to its end: the bytes of all.
private func work() throws -> [[UInt8]] {
    var random = SeededRandom(9)
    let history = try History()
    for step in 0..<4 { try history.record(.random(30, .dyadic, using: &random), step: Int64(step)) }
    let resumed = try History(loading: history.saved)
    #expect(v05_history_merge(history.handle, resumed.handle, nil) == V05_STATUS_OK)

    let tracker = try Tracker()
    for _ in 0..<4 { try tracker.record(.random(30, .dyadic, using: &random)) }
    let same = try Tracker(loading: tracker.saved)
    #expect(v05_tracker_merge(tracker.handle, same.handle, nil) == V05_STATUS_OK)

    let prior = (0..<20).map { Double($0) / 19 }
    let allocator = try Allocator(20, prior: prior)
    for _ in 0..<100 {
        var results: [(prompt: Int64, reward: Double)] = []
        for (prompt, rollouts) in allocator.request().enumerated() {
            for _ in 0..<rollouts { results.append((Int64(prompt), Double(Int.random(in: 0...1, using: &random)))) }
        }
        if results.isEmpty { break }
        allocator.observe(results)
    }
    #expect(allocator.status.done)
    return [history.saved, tracker.saved, allocator.saved]
}
