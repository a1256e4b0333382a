/// A few neighbouring numbers, and what the loops over tokens need of them. Conditions are numbers too, all bits of a lane set
/// where it holds and none where not, as the processor has them. (The generic operations of the standard library work lane
/// by lane, which is ten times slower.)
protocol TokenVector {
    associatedtype Scalar: BinaryFloatingPoint
    /// A power of two.
    static var lanes: Int { get }
    /// e^x below this is nothing beside 1.
    static var negligibleExponent: Scalar { get }
    /// e^x below this is taken for e^this: nothing, but no denormal number.
    static var smallestExponent: Scalar { get }

    init(_ value: Scalar)
    static func load(_ start: UnsafePointer<Scalar>) -> Self
    /// Where a byte is 0.
    static func isZero(_ bytes: UnsafePointer<UInt8>) -> Self
    func store(to start: UnsafeMutablePointer<Scalar>)
    /// Whether any bit is set.
    var hasAny: Bool { get }
    var magnitude: Self { get }
    /// All bits the other way.
    var complement: Self { get }
    /// Of the lanes, in an order that is the same on every processor.
    var sum: Double { get }
    var smallest: Double { get }
    var largest: Double { get }
    /// Lanes as whole numbers, each one more where the condition holds; from all bits 0, that is `init(0)`, on.
    func counting(_ condition: Self) -> Self
    /// Sum of the lanes of `counting`.
    var count: Int { get }

    static func + (left: Self, right: Self) -> Self
    static func - (left: Self, right: Self) -> Self
    static func * (left: Self, right: Self) -> Self
    static func / (left: Self, right: Self) -> Self
    static func < (left: Self, right: Self) -> Self
    static func <= (left: Self, right: Self) -> Self
    static func & (left: Self, right: Self) -> Self
    static func | (left: Self, right: Self) -> Self
    /// left and not right
    static func &~ (left: Self, right: Self) -> Self
    /// The smaller of both; `limit` where one is NaN.
    func atMost(_ limit: Self) -> Self
    /// The larger of both; `limit` where one is NaN.
    func atLeast(_ limit: Self) -> Self
    /// e^x to about one unit in the last place, for x within smallestExponent and as much above 0; beyond, the ends count.
    static func exponential(_ x: Self) -> Self
}

infix operator &~ : MultiplicationPrecedence
