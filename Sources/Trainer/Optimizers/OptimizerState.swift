import Foundation
import NN
import Tensors

// An optimizer's state as a safetensors file: `<moment>/<key>` for each parameter, `steps` [parameters] in the
// order of the keys, and the settings that the moments belong to.

extension Optimizer {
    /// Writes the state atomically.
    /// - Parameter metadata: what else the file shall say about itself.
    public func save(to path: String, metadata: [String: String] = [:]) throws {
        var writer = SafetensorsWriter(metadata: metadata)
        try add(to: &writer)
        try writer.write(to: path)
    }

    /// Adds the state to a file that may hold more.
    package func add(to writer: inout SafetensorsWriter) throws {
        writer.metadata["optimizer"] = options.kind.rawValue
        try writer.add("steps", shape: [slots.count], int64s: slots.map { Int64($0.steps) })
        for slot in slots {
            for ((name, _), moment) in zip(options.moments(of: slot.parameter.shape), slot.moments) {
                try writer.add("\(name)/\(slot.key)", moment)
            }
        }
    }

    /// Reads a state that was saved from an optimizer of the same kind over the same parameters. Nothing is changed unless
    /// all of it fits.
    /// - Throws: `InputError` that names the file and what does not fit.
    public func load(from path: String) throws { try load(try SafetensorsFile(path: path)) }

    /// Reads a state from an open file.
    public func load(_ file: SafetensorsFile) throws { try load(file, besides: 0) }

    /// - Parameter others: the number of tensors of the file that are not the optimizer's.
    package func load(_ file: SafetensorsFile, besides others: Int) throws {
        let path = file.path
        guard file.metadata["optimizer"] == options.kind.rawValue else {
            let found = file.metadata["optimizer"].map { "that of \(JSONValue.quoted($0))" } ?? "something else"
            throw InputError(
                "\(path): expected the state of \(JSONValue.quoted(options.kind.rawValue)), found \(found)")
        }
        var shapes = [(name: "steps", shape: [slots.count])]
        for slot in slots {
            for (name, shape) in options.moments(of: slot.parameter.shape) {
                shapes.append(("\(name)/\(slot.key)", shape))
            }
        }
        for (name, shape) in shapes {
            let entry = try file.entry(name)
            guard entry.shape == shape, entry.dtype == (name == "steps" ? .int64 : .float32) else {
                let expected = "\(name == "steps" ? "I64" : "F32") \(shape)"
                throw InputError(
                    "\(path): \(JSONValue.quoted(name)): expected \(expected), found \(entry.dtype.rawValue) \(entry.shape)"
                )
            }
        }
        guard file.names.count - others == shapes.count else {
            throw InputError("\(path): expected the state of \(slots.count) parameters and nothing else")
        }
        var steps = [Int32](repeating: 0, count: slots.count)
        try steps.withUnsafeMutableBufferPointer { buffer in
            if let start = buffer.baseAddress { try file.copyInt32s(of: "steps", into: start) }
        }
        if let wrong = steps.first(where: { $0 < 0 }) {
            throw InputError("\(path): \"steps\": expected numbers of at least 0, found \(wrong)")
        }
        for index in slots.indices {
            slots[index].steps = Int(steps[index])
            for ((name, _), moment) in zip(options.moments(of: slots[index].parameter.shape), slots[index].moments) {
                try file.copyFloats(of: "\(name)/\(slots[index].key)", into: moment.mutablePointer)
            }
        }
    }
}
