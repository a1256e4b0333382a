import Estimation

/// Keys of prompts, of which the largest is at hand, ties by index. A new key costs the logarithm of their number.
struct WinnerTree {
    /// Of a prompt that takes no part.
    static var absent: Double { -.infinity }

    private let count: Int
    private let keys: UnsafeMutablePointer<Double>
    /// Of node i, whose children are 2 i and 2 i + 1; nodes from `count` on are the prompts themselves.
    private let winners: UnsafeMutablePointer<Int32>
    /// Prompts that take part.
    private(set) var entries = 0

    init(count: Int, workspace: inout Workspace) throws(Failure) {
        self.count = count
        keys = try workspace.take(Double.self, count: count)
        winners = try workspace.take(Int32.self, count: max(count, 1))
        clear()
    }

    /// Of all prompts; 0 where there is none.
    var best: Int { count > 1 ? Int(winners[1]) : 0 }
    var bestKey: Double { count > 0 ? keys[best] : WinnerTree.absent }

    subscript(prompt: Int) -> Double { keys[prompt] }

    @inline(never)
    mutating func set(_ prompt: Int, _ key: Double) {
        put(prompt, key)
        var node = (prompt &+ count) / 2
        while node > 0 {
            play(node)
            node /= 2
        }
    }

    /// Many keys at once: `put` each, then `rebuild`.
    @inline(never)
    mutating func put(_ prompt: Int, _ key: Double) {
        if keys[prompt] > WinnerTree.absent { entries &-= 1 }
        if key > WinnerTree.absent { entries &+= 1 }
        keys[prompt] = key
    }

    func rebuild() {
        var node = count &- 1
        while node > 0 {
            play(node)
            node &-= 1
        }
    }

    mutating func clear() {
        var prompt = 0
        while prompt < count {
            keys[prompt] = WinnerTree.absent
            prompt &+= 1
        }
        entries = 0
        rebuild()
    }

    private func play(_ node: Int) {
        let first = winner(2 &* node)
        let second = winner(2 &* node &+ 1)
        let a = keys[Int(first)]
        let b = keys[Int(second)]
        winners[node] = a > b || (a == b && first < second) ? first : second
    }

    private func winner(_ node: Int) -> Int32 {
        node < count ? winners[node] : Int32(truncatingIfNeeded: node &- count)
    }
}
