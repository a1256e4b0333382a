/// Why an input is refused: a text that names argument and rule, and the value that was found.
///
/// Four machine words, so that an error travels in registers; the numbers are turned into digits only where the
/// message is written.
public struct Failure: Error {
    /// The families of v05_status in v05.h, without their numbers.
    public enum Kind: UInt8, Sendable {
        case nullPointer
        case invalidSize
        case invalidOption
        case structSize
        case capacityTooSmall
        case overlappingArrays
        case workspaceTooSmall
        case invalidReward
        case rewardOutOfRange
        case rewardNotTwoValued
        case invalidPrior
        case priorDisagrees
        case invalidOffsets
        case invalidCalibration
        case invalidProbability
        case infeasible
        case unknownPrompt
        case notInFlight
        case invalidToken
        case invalidWeight
        case outOfMemory
        case checkpointTruncated
        case checkpointCorrupted
        case checkpointVersion
        case checkpointKind
    }

    /// What `first` and `second` are.
    public enum Found: UInt8, Sendable {
        case nothing
        case integer
        case integers
        case real
        case reals
        /// A real and the interval that it should lie in, whose ends are kept as two floats.
        case realInInterval
        /// The name of the argument, a Text.
        case name
        /// The name of the argument and an integer.
        case nameAndInteger
    }

    /// "argument rule"; in it # stands for the index and @ for the name of the argument.
    public let text: Text
    public let first: UInt64
    public let second: UInt64
    /// Kind, found, and 48 bits of index.
    private let packed: UInt64

    public var kind: Kind { Kind(rawValue: UInt8(truncatingIfNeeded: packed)) ?? .invalidOption }
    public var found: Found { Found(rawValue: UInt8(truncatingIfNeeded: packed &>> 8)) ?? .nothing }
    /// The row, group or prompt that the failure is about; -1: none.
    public var index: Int { Int(truncatingIfNeeded: Int64(bitPattern: packed) &>> 16) }

    @inline(never)
    private init(_ kind: Kind, _ text: Text, _ index: Int, _ found: Found, _ first: UInt64, _ second: UInt64) {
        self.text = text
        self.first = first
        self.second = second
        packed = UInt64(kind.rawValue) | UInt64(found.rawValue) &<< 8 | UInt64(bitPattern: Int64(index)) &<< 16
    }

    @inline(never)
    public init(_ kind: Kind, _ text: Text) { self.init(kind, text, -1, .nothing, 0, 0) }

    @inline(never)
    public init(_ kind: Kind, _ text: Text, integer value: Int) { self.init(kind, text, at: -1, integer: value) }

    @inline(never)
    public init(_ kind: Kind, _ text: Text, at index: Int, integer value: Int) {
        self.init(kind, text, index, .integer, UInt64(bitPattern: Int64(value)), 0)
    }

    @inline(never)
    public init(_ kind: Kind, _ text: Text, integers first: Int, _ second: Int) {
        self.init(kind, text, at: -1, integers: first, second)
    }

    @inline(never)
    public init(_ kind: Kind, _ text: Text, at index: Int, integers first: Int, _ second: Int) {
        self.init(kind, text, index, .integers, UInt64(bitPattern: Int64(first)), UInt64(bitPattern: Int64(second)))
    }

    @inline(never)
    public init(_ kind: Kind, _ text: Text, real value: Double) { self.init(kind, text, at: -1, real: value) }

    @inline(never)
    public init(_ kind: Kind, _ text: Text, at index: Int, real value: Double) {
        self.init(kind, text, index, .real, value.bitPattern, 0)
    }

    @inline(never)
    public init(_ kind: Kind, _ text: Text, reals first: Double, _ second: Double) {
        self.init(kind, text, at: -1, reals: first, second)
    }

    @inline(never)
    public init(_ kind: Kind, _ text: Text, at index: Int, reals first: Double, _ second: Double) {
        self.init(kind, text, index, .reals, first.bitPattern, second.bitPattern)
    }

    @inline(never)
    public init(_ kind: Kind, _ text: Text, at index: Int, real value: Double, in interval: Interval) {
        let low = UInt64(Float(interval.low).bitPattern)
        let high = UInt64(Float(interval.high).bitPattern)
        self.init(kind, text, index, .realInInterval, value.bitPattern, low &<< 32 | high)
    }

    @inline(never)
    public init(_ kind: Kind, _ text: Text, naming argument: Text) {
        self.init(kind, text, -1, .name, UInt64(UInt(bitPattern: argument.start)), 0)
    }

    @inline(never)
    public init(_ kind: Kind, _ text: Text, naming argument: Text, integer value: Int) {
        self.init(
            kind, text, -1, .nameAndInteger, UInt64(UInt(bitPattern: argument.start)), UInt64(bitPattern: Int64(value)))
    }
}
