/// A programmer's mistake and what the message it stops with must say.
public struct Mistake {
    public let message: String
    public let make: () -> Void

    public init(_ message: String, _ make: @escaping () -> Any) {
        self.message = message
        self.make = { _ = make() }
    }
}
