/// Rewards beyond this are refused by every rule: their squares would leave the range of a Double.
public let largestReward = 1e30

/// Where weights differ, one below this counts as 0: what is divided by it would leave the range of a Double.
public let smallestWeight = 1e-290

/// More rewards than this no prompt can have had, however often its sums were added up.
let largestStrength = 1e100

/// The largest number of rows of a batch: rows are counted in 32 bits.
public let largestRowCount = Int(Int32.max)
