import Tensors

/// Which keys a query sees in sliding-window attention. Tokens lie in windows of W; a query sees its own window and some
/// beside it, or, with `isExact`, just as many tokens as those windows have, counted from itself.
public struct WindowPattern: Sendable, Equatable {
    /// Tokens in a window, W.
    public var window: Int
    /// True if a query sees nothing after itself.
    public var isCausal: Bool
    /// Windows seen before one's own.
    public var lookBackward: Int
    /// Windows seen after one's own; 0 where causal.
    public var lookForward: Int
    /// True if a query sees W · lookBackward tokens before and W · lookForward after itself instead of whole windows.
    public var isExact: Bool

    /// Creates a pattern of windows; stops if a number is out of range.
    public init(
        window: Int, isCausal: Bool, lookBackward: Int = 1, lookForward: Int? = nil, isExact: Bool = false
    ) {
        let forward = lookForward ?? (isCausal ? 0 : 1)
        require(
            window >= 1 && lookBackward >= 0 && forward >= 0 && !(isCausal && forward > 0),
            "WindowPattern: window \(window), look_backward \(lookBackward), look_forward \(forward), causal \(isCausal)"
        )
        self.window = window
        self.isCausal = isCausal
        self.lookBackward = lookBackward
        self.lookForward = forward
        self.isExact = isExact
    }

    /// Windows a query can see: its own and those beside it.
    public var windows: Int { 1 + lookBackward + lookForward }

    /// All tokens of the windows that belong to a query, before 0 and after the last token included.
    func slots(_ query: Int) -> Range<Int> {
        let own = query / window * window
        return own - lookBackward * window..<own + (1 + lookForward) * window
    }

    /// The keys of 0 ..< count that a query sees; both bounds grow with the query.
    func keys(_ query: Int, of count: Int) -> Range<Int> {
        let slots = slots(query)
        let first = isExact ? query - lookBackward * window : slots.lowerBound
        let end = isCausal ? query + 1 : isExact ? query + lookForward * window + 1 : slots.upperBound
        return max(first, 0)..<min(end, count)
    }

    /// The keys that any of several neighboring queries sees.
    func keys(_ queries: Range<Int>, of count: Int) -> Range<Int> {
        keys(queries.lowerBound, of: count).lowerBound..<keys(queries.upperBound - 1, of: count).upperBound
    }
}
