/// Rewards beyond this are refused by every rule: their squares would leave the range of a Double.
public let largestReward = 1e30

/// The largest number of rows of a batch: rows are counted in 32 bits.
public let largestRowCount = Int(Int32.max)
