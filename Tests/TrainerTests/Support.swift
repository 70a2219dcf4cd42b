@_exported import FixtureSupport
import Tensors
import Testing
import Trainer

/// A text of its own for tests of what stands on texts: 0, 1, 2 … as tokens.
func countingTokens(_ count: Int, name: String = "numbers") -> TokenSource {
    TokenSource(name: name, tokens: (0..<Int32(count)).map { $0 })
}
