import Estimation
import SeededRandom
import Testing
@testable import Allocation

struct FillTests {
    @Test func theWinnerIsTheLargestAndTheFirstOfEquals() throws {
        var random = SeededRandom(1)
        for count in [1, 2, 3, 5, 8, 13, 64] {
            var workspace = Workspace()
            defer { workspace.release() }
            var tree = try WinnerTree(count: count, workspace: &workspace)
            var keys = [Double](repeating: WinnerTree.absent, count: count)
            for step in 0..<200 {
                let changes = step % 20 == 0 ? count : 1
                for _ in 0..<changes {
                    let prompt = Int.random(in: 0..<count, using: &random)
                    keys[prompt] = [WinnerTree.absent, -2, 0, 1, 1, 3].randomElement(using: &random)!
                    if changes == 1 { tree.set(prompt, keys[prompt]) } else { tree.put(prompt, keys[prompt]) }
                }
                if changes > 1 { tree.rebuild() }
                #expect(tree.bestKey == keys.max()!)
                #expect(tree.best == keys.firstIndex(of: keys.max()!)!)
                #expect(tree.entries == keys.count { $0 > WinnerTree.absent })
            }
        }
    }

    @Test func lengthsOfRuns() {
        for most in 0...12 {
            for length in 0...most {
                for guess in [-100, -1, 0, 1, 5, 12, 100] {
                    #expect(lengthOfRun(near: guess, most: most) { $0 < length } == length)
                }
            }
        }
        var looks = 0
        #expect(
            lengthOfRun(near: 1 << 30, most: Int(Int32.max)) {
                looks += 1; return $0 < (1 << 30) + 3
            } == (1 << 30) + 3)
        #expect(looks < 8)
    }

    /// One each by index, again and again.
    @Test func levels() {
        var random = SeededRandom(2)
        for _ in 0..<300 {
            let rooms = (0..<Int.random(in: 1...6, using: &random)).map { _ in Int.random(in: 0...5, using: &random) }
            let total = Int.random(in: 0...20, using: &random)
            var expected = rooms.map { _ in 0 }
            var left = total
            for _ in 0..<5 {
                for prompt in rooms.indices where left > 0 && expected[prompt] < rooms[prompt] {
                    expected[prompt] += 1
                    left -= 1
                }
            }
            var found = rooms.map { _ in 0 }
            let rest = fillByLevel(
                total, promptCount: rooms.count, highest: 9, amount: { min($1, rooms[$0]) }, give: { found[$0] += $1 })
            #expect(found == expected && rest == left)
        }
    }

    /// Against one rollout at a time, with many ties and plateaus.
    @Test func concaveGains() throws {
        var random = SeededRandom(3)
        for _ in 0..<500 {
            let count = Int.random(in: 1...30, using: &random)
            let gains = (0..<count).map { _ in
                (0..<Int.random(in: 0...9, using: &random)).map { _ in
                    Double([0, 1, 1, 2, 3, 1e-300, 1e300].randomElement(using: &random)!)
                }
                .sorted(by: >)
            }
            let total = Int.random(in: 0...(count * 6), using: &random)
            var expected = gains.map { _ in 0 }
            var left = total
            func next(_ prompt: Int) -> Double {
                expected[prompt] < gains[prompt].count ? gains[prompt][expected[prompt]] : 0
            }
            while left > 0, let best = (0..<count).max(by: { (next($0), -$0) < (next($1), -$1) }), next(best) > 0 {
                expected[best] += 1
                left -= 1
            }
            var workspace = Workspace()
            defer { workspace.release() }
            var fill = try ConcaveFill(count: count, workspace: &workspace)
            let rest = fill.spend(
                total, rolloutsAbove: { prompt, threshold in gains[prompt].count { $0 > threshold } },
                gain: { $1 < gains[$0].count ? gains[$0][$1] : 0 })
            #expect((0..<count).map { Int(fill.given[$0]) } == expected && rest == left)
            #expect((0..<count).allSatisfy { fill.next[$0] == (next($0) > 0 ? next($0) : WinnerTree.absent) })
        }
    }
}
