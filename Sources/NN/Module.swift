import Tensors

/// A part of a model: something with parameters that have names.
///
/// Modules are immutable classes or structs around `Parameter`s, so several threads may run one at the same time.
public protocol Module: Sendable {
    /// Names every parameter, buffer and child, in the order of the data. The names are those of the PyTorch package the
    /// model must agree with, so that checkpoints move both ways.
    func collect(into state: inout StateCollector)
}

/// Gathers the parameters of a module under dotted names.
public struct StateCollector {
    public private(set) var entries: [(key: String, parameter: Parameter)] = []
    /// Other names by which files may have a key's parameter.
    public private(set) var aliases: [String: String] = [:]
    private var prefix = ""

    public init() {}

    /// - Parameter alias: another name, by which the parameter is read where a file has it not by the first.
    public mutating func add(_ name: String, _ parameter: Parameter, alias: String? = nil) {
        entries.append((prefix + name, parameter))
        aliases[prefix + name] = alias.map { prefix + $0 }
    }

    public mutating func add(_ name: String, _ module: any Module) {
        let outer = prefix
        prefix += name + "."
        module.collect(into: &self)
        prefix = outer
    }

    /// Children named by their position.
    public mutating func add(_ name: String, _ modules: [any Module]) {
        for (index, module) in modules.enumerated() { add("\(name).\(index)", module) }
    }
}

extension Module {
    /// Every parameter and buffer with its state-dict key. A shared parameter stands under several keys.
    public var state: [(key: String, parameter: Parameter)] {
        var collector = StateCollector()
        collect(into: &collector)
        #if DEBUG
            requireCollected(collector.entries)
        #endif
        return collector.entries
    }

    /// The trainable parameters with their (first) keys, each once.
    public var trainable: [(key: String, parameter: Parameter)] {
        var seen = Set<ObjectIdentifier>()
        return state.filter { $0.parameter.isTrainable && seen.insert(ObjectIdentifier($0.parameter)).inserted }
    }

    /// The number of trainable floats.
    public var parameterCount: Int { trainable.reduce(0) { $0 + $1.parameter.count } }
}
