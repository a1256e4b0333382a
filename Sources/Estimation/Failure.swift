/// Why an input is refused: which argument, at which place, with which value, breaks which rule.
/// The border renders it as "argument[index] rule, got value".
public struct Failure: Error {
    /// The families of v05_status in v05.h, without their numbers.
    public enum Kind: Sendable {
        case nullPointer
        case invalidSize
        case invalidOption
        case capacityTooSmall
        case overlappingArrays
        case structSize
        case workspaceTooSmall
        case invalidReward
        case rewardOutOfRange
        case rewardNotTwoValued
        case invalidPrior
        case priorDisagrees
        case invalidOffsets
        case invalidCalibration
        case outOfMemory
        case checkpointTruncated
        case checkpointCorrupted
        case checkpointVersion
        case checkpointKind
    }

    /// The value that was found.
    public enum Found: Sendable {
        case nothing
        case integer(Int)
        case real(Double)
        /// Two values that should agree or be in order.
        case integers(Int, Int)
        case reals(Double, Double)
    }

    public let kind: Kind
    public let argument: Text
    /// Index into the argument (a row or a group); negative: the argument as a whole.
    public let index: Int
    public let rule: Text
    /// Completes a rule that ends in "the interval".
    public let interval: Interval?
    public let found: Found

    public init(
        _ kind: Kind, _ argument: Text, at index: Int = -1, _ rule: Text,
        interval: Interval? = nil, found: Found = .nothing
    ) {
        self.kind = kind
        self.argument = argument
        self.index = index
        self.rule = rule
        self.interval = interval
        self.found = found
    }
}
