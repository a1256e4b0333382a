/// Where the results go. A nil pointer skips a result.
public struct EstimationOutput {
    /// (rows)
    public var advantages: AdvantageColumn?
    public var rowGroup: UnsafeMutablePointer<Int64>?
    /// (groups), in order of first appearance
    public var groupCapacity = 0
    public var groupIds: UnsafeMutablePointer<Int64>?
    public var count: UnsafeMutablePointer<Int64>?
    public var effectiveCount: UnsafeMutablePointer<Double>?
    public var mean: UnsafeMutablePointer<Double>?
    public var prior: UnsafeMutablePointer<Double>?
    public var weight: UnsafeMutablePointer<Double>?
    public var baseline: UnsafeMutablePointer<Double>?
    public var biasSquared: UnsafeMutablePointer<Double>?
    public var mse: UnsafeMutablePointer<Double>?
    public var z: UnsafeMutablePointer<Double>?
    public var pValue: UnsafeMutablePointer<Double>?
    public var rejected: UnsafeMutablePointer<UInt8>?
    public var constant: UnsafeMutablePointer<UInt8>?

    public init() {}

    var wantsGroups: Bool {
        groupIds != nil || count != nil || effectiveCount != nil || mean != nil || prior != nil || weight != nil
            || baseline != nil
            || biasSquared != nil || mse != nil || z != nil || pValue != nil || rejected != nil || constant != nil
    }
}

/// What an estimation came down to.
public struct AppliedEstimation {
    public let groupCount: Int
    /// Another than asked for where there was too little to calibrate.
    public let rule: BaselineRule
    /// nil where none was applied.
    public let calibration: Calibration?
    /// Of the mixture that was applied, in the workspace of the call.
    public let weights: UnsafePointer<MixtureNumbers>?
    public let interval: Interval
    /// Groups whose baseline is not made by what was fitted on earlier batches, because that loses here.
    public let refusedGroups: Int
}
