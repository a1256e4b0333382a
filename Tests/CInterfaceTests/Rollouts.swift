import SeededRandom

/// A batch in Swift arrays.
struct Rollouts {
    var rewards: [Double]
    var ids: [Int64]
    var prior: [Double]?
    var strength: [Double]?
    var mask: [UInt8]?
    /// In place of ids: group g is the rows offsets[g] ..< offsets[g + 1].
    var offsets: [Int64]?
    var weights: [Double]?

    var rowCount: Int { rewards.count }

    /// Three prompts, mixed; the second has no prior.
    static let example = Rollouts(
        rewards: [1, 0, 0.5, 1, 0, 1, 0.25, 1], ids: [7, -3, 7, 7, -3, 5, 7, -3],
        prior: [0.5, .nan, 0.5, 0.5, .nan, 0.75, 0.5, .nan],
        strength: [2, 0, 2, 2, 0, 3, 2, 0], mask: [1, 1, 1, 1, 1, 1, 0, 1])

    enum Values: CaseIterable { case twoValued, dyadic, any, zeros }

    /// `groupCount` prompts of 1 to 8 rollouts in [0, 1], mixed; some without prior, some rows masked.
    static func random(_ groupCount: Int, _ values: Values, using random: inout SeededRandom) -> Rollouts {
        var rows: [(reward: Double, id: Int64, prior: Double, strength: Double, counted: UInt8)] = []
        for _ in 0..<groupCount {
            let id = Int64.random(in: .min ... .max, using: &random)
            let prior = Int.random(in: 0..<5, using: &random) == 0 ? .nan : Double.random(in: 0...1, using: &random)
            let strength = Double.random(in: 0...9, using: &random)
            for _ in 0..<Int.random(in: 1...8, using: &random) {
                let reward: Double
                switch values {
                case .twoValued: reward = Double(Int.random(in: 0...1, using: &random))
                case .dyadic: reward = Double(Int.random(in: 0...16, using: &random)) / 16
                case .any: reward = Double(Float.random(in: 0...1, using: &random))
                case .zeros: reward = [0.0, -0.0, -0.0, 1][Int.random(in: 0..<4, using: &random)]
                }
                rows.append((reward, id, prior, strength, Int.random(in: 0..<8, using: &random) == 0 ? 0 : 1))
            }
        }
        rows.shuffle(using: &random)
        return Rollouts(
            rewards: rows.map(\.reward), ids: rows.map(\.id), prior: rows.map(\.prior), strength: rows.map(\.strength),
            mask: rows.map(\.counted))
    }

    /// Rows `order[0]`, `order[1]`, ...
    func rearranged(_ order: [Int]) -> Rollouts {
        func pick<Element>(_ column: [Element]) -> [Element] { order.map { column[$0] } }
        return Rollouts(
            rewards: pick(rewards), ids: pick(ids), prior: prior.map(pick), strength: strength.map(pick),
            mask: mask.map(pick))
    }

    /// Ids that never fall, in another way of saying which rows belong together.
    var asOffsets: Rollouts {
        var changed = rearranged(rewards.indices.sorted { (ids[$0], $0) < (ids[$1], $1) })
        let starts = changed.ids.indices.filter { $0 == 0 || changed.ids[$0] != changed.ids[$0 - 1] }
        changed.offsets = starts.map { Int64($0) } + [Int64(rowCount)]
        changed.prior = changed.prior.map { prior in starts.map { prior[$0] } }
        changed.strength = changed.strength.map { strength in starts.map { strength[$0] } }
        return changed
    }
}
