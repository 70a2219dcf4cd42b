extension String {
    /// True if at most 30 combining marks follow each other, as in the Stream-Safe Text Format (Unicode Standard Annex
    /// 15).
    /// To compare and to hash strings puts marks in order, which takes the square of their number: hours for a hostile key.
    package var isStreamSafe: Bool {
        var marks = 0
        for scalar in unicodeScalars {
            let isMark = scalar.value >= 0x300 && scalar.properties.canonicalCombiningClass != .notReordered
            marks = isMark ? marks + 1 : 0
            if marks > 30 { return false }
        }
        return true
    }
}
