import NN
import Tensors

/// The names of options for one kind of reader.
public struct OptionNames: Sendable {
    private let mention: @Sendable (OptionMention) -> String
    private let resumption: @Sendable (_ path: String, OptionMention?) -> String

    /// Creates names.
    /// - Parameters:
    ///   - mention: returns an option with its value.
    ///   - resumption: returns the way to resume the run at a path, with another value of an option.
    package init(
        mention: @escaping @Sendable (OptionMention) -> String,
        resumption: @escaping @Sendable (_ path: String, OptionMention?) -> String
    ) {
        (self.mention, self.resumption) = (mention, resumption)
    }

    func text(of mention: OptionMention) -> String { self.mention(mention) }

    func resumption(of path: String, with change: OptionMention?) -> String { resumption(path, change) }

    /// The names in code: those of properties and parameters.
    public static let properties = OptionNames(
        mention: { "\($0)" },
        resumption: { path, change in "TrainingRun(resuming: \(path))" + (change.map { " and \($0)" } ?? "") })

    /// The names in a JSON file: those of properties in snake_case, but for some.
    static func keys(_ exceptions: [String: String]) -> OptionNames {
        OptionNames(
            mention: { mention in
                let key = exceptions[mention.property] ?? mention.property.lastComponent.words(joinedBy: "_")
                return JSONValue.quoted(key) + (mention.value.map { " " + $0 } ?? "")
            },
            resumption: { properties.resumption(of: $0, with: $1) })
    }
}

extension String {
    /// The property itself, without the parts that it is in.
    package var lastComponent: String { split(separator: ".").last.map(String.init) ?? self }

    /// A name in camelCase as words in lowercase.
    package func words(joinedBy separator: String) -> String {
        reduce(into: "") { $0 += $1.isUppercase ? separator + $1.lowercased() : String($1) }
    }

    /// A name in snake_case as one in camelCase.
    var camelCase: String {
        let words = split(separator: "_")
        return words.dropFirst().reduce(words.first.map(String.init) ?? "") { $0 + $1.capitalized }
    }
}
