import ModelZoo

extension OptionNames {
    /// The names on command lines.
    static let flags = flags([:])

    /// The names on the command line of a command that calls some parameters otherwise.
    /// - Parameter exceptions: flags without dashes, by property.
    static func flags(_ exceptions: [String: String]) -> OptionNames {
        let table = flagNames.merging(exceptions) { $1 }
        @Sendable func flag(_ mention: OptionMention) -> String {
            if let value = mention.value, let whole = table["\(mention.property) \(value)"] { return "--" + whole }
            let name = table[mention.property] ?? mention.property.lastComponent.words(joinedBy: "-")
            return "--\(name)" + (mention.value.map { " " + $0 } ?? "")
        }
        return OptionNames(
            mention: flag,
            resumption: { path, change in
                "--resume \(path.pathArgument.shellQuoted)" + (change.map { " " + flag($0) } ?? "")
            })
    }
}

/// Flags that are not their property in kebab-case; some stand for a value of it.
private let flagNames = [
    "warmupSteps": "warmup", "groups": "group", "keepCheckpoints": "keep", "optimizer.kind": "optimizer",
    "optimizer.scalesByParameter": "parameter-scaled", "forgetting": "forget", "carries true": "carry",
    "carries false": "no-carry",
]

/// Does the work of a command, whose errors name options as its command line does.
/// - Parameter exceptions: flags without dashes, by property, that only this command has.
func namingFlags<Result>(_ exceptions: [String: String] = [:], _ body: () throws -> Result) throws -> Result {
    let names = OptionNames.flags(exceptions)
    do { return try body() } catch let error as OptionError {
        throw InputError(error.message(naming: names))
    } catch let fault as TrainingFault {
        throw fault.naming(names)
    }
}
