//! The compiled engine must not compute with floating-point numbers: every function of it in this very executable is
//! disassembled.

#![cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), target_os = "linux"))]
#![allow(clippy::unwrap_used)]

use assay_engine::{Backend, Engine, Generation, Meter, Model, Options, run};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};

/// The first instruction of some code that computes with floating-point numbers, or converts them. Moves, shuffles and
/// bitwise operations carry bits of any meaning.
#[cfg(target_arch = "x86_64")]
fn float_instruction(code: &[u8]) -> Option<String> {
    use iced_x86::{Decoder, DecoderOptions};
    let instructions = Decoder::new(64, code, DecoderOptions::NONE).into_iter();
    instructions.map(|instruction| format!("{:?}", instruction.mnemonic())).find(|name| is_float(name))
}

/// As above. Instructions are named by their bits.
#[cfg(target_arch = "aarch64")]
fn float_instruction(code: &[u8]) -> Option<String> {
    let words = code.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word));
    words.into_iter().find(|word| is_float(*word)).map(|word| format!("{word:08x}"))
}

#[cfg(target_arch = "x86_64")]
fn is_float(mnemonic: &str) -> bool {
    let name = mnemonic.to_lowercase();
    // The x87 unit knows nothing else.
    if name.starts_with('f') && !name.starts_with("fx") {
        return true;
    }
    let name = name.strip_prefix('v').unwrap_or(&name);
    let packed_or_scalar = ["ss", "sd", "ps", "pd", "sh", "ph"].iter().any(|end| name.ends_with(end));
    let computes = [
        "add", "sub", "mul", "div", "sqrt", "min", "max", "rcp", "rsqrt", "round", "rndscale", "reduce",
        "range", "scalef", "getexp", "getmant", "fixup", "hadd", "hsub", "dp", "cmp", "comi", "ucomi",
        "fmadd", "fmsub", "fnmadd", "fnmsub", "fmaddsub", "fmsubadd", "exp2",
    ];
    // `cvtsi2sd`, `cvtdq2ps`, `cvttsd2si`, …; `vpmovqd` and its like convert integers and are called moves.
    name.starts_with("cvt") || packed_or_scalar && computes.iter().any(|begin| name.starts_with(begin))
}

/// By the encoding tables of the Arm Architecture Reference Manual, "Data processing: scalar floating-point and Advanced
/// SIMD".
#[cfg(target_arch = "aarch64")]
fn is_float(word: u32) -> bool {
    let bits = |low: u32, count: u32| word >> low & ((1 << count) - 1);
    let is_set = |bit: u32| bits(bit, 1) == 1;
    // The scalable extensions have much of both; nothing here is compiled for them.
    if bits(25, 4) == 0b0010 || word >> 31 == 1 && bits(25, 4) == 0 {
        return true;
    }
    if bits(25, 3) != 0b111 {
        return false;
    }
    if is_set(28) && !is_set(30) {
        // Scalar numbers: not floating-point are moves between registers, of immediates, and by condition.
        let moves = match bits(10, 6) {
            0 => bits(19, 2) < 2 && bits(16, 3) >= 6,
            n if n % 32 == 0b10000 => bits(15, 6) == 0,
            n => n % 8 == 0b100 || n % 4 == 0b11,
        };
        return is_set(24) || !is_set(21) || !moves;
    }
    if is_set(31) {
        // Hashes and ciphers.
        return false;
    }
    let unsigned = is_set(29);
    match (is_set(24), is_set(21), bits(10, 2)) {
        // Three registers alike.
        (false, true, 0b01 | 0b11) => bits(11, 5) >= 0x18,
        (false, true, 0b10) => match bits(17, 5) {
            // Two registers.
            0b10000 => matches!(bits(12, 5), 0x0c..=0x0f | 0x16..=0x1f),
            // Across lanes, and scalar pairs.
            0b11000 => matches!(bits(12, 5), 0x0c | 0x0d | 0x0f),
            // Two registers of halves.
            0b11100 => is_set(22),
            _ => false,
        },
        // Three registers, complex numbers and dot products among them; three of halves.
        (false, false, 0b01 | 0b11) if is_set(15) => bits(11, 4) >= 8,
        (false, false, 0b01 | 0b11) => is_set(22),
        // Shifts, which some conversions are; without a shift they are immediates.
        (true, _, 0b01 | 0b11) => !is_set(23) && bits(19, 4) != 0 && matches!(bits(11, 5), 0x1c | 0x1f),
        // Vectors by an element.
        (true, _, _) if unsigned => matches!(bits(12, 4), 1 | 3 | 5 | 7 | 8 | 9 | 12),
        (true, _, _) => matches!(bits(12, 4), 0 | 1 | 4 | 5 | 9) || bits(12, 4) == 15 && is_set(22),
        _ => false,
    }
}

/// Names of the functions that hold a floating-point instruction, with the instruction, and how many were looked at.
fn float_functions(wanted: impl Fn(&str) -> bool) -> (Vec<String>, usize) {
    let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let (mut found, mut seen) = (Vec::new(), 0);
    for symbol in file.symbols().filter(|s| s.kind() == SymbolKind::Text && s.size() > 0) {
        let name = symbol.name().unwrap();
        if !wanted(name) {
            continue;
        }
        seen += 1;
        let section = file.section_by_index(symbol.section_index().unwrap()).unwrap();
        let code = section.data_range(symbol.address(), symbol.size()).unwrap().unwrap();
        if let Some(instruction) = float_instruction(code) {
            found.push(format!("{name}: {instruction}"));
        }
    }
    (found, seen)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn adds_floats(a: f32, b: f32) -> f32 {
    std::hint::black_box(a) + b
}

#[test]
fn compiled_code_holds_no_float_instruction() {
    // What is not used is not linked.
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/tales-300k.gguf");
    let model = Model::open(path).unwrap();
    let input = assay_protocol::InferenceInput {
        nonce: [0; 16],
        max_tokens: 2,
        sampling: assay_protocol::Sampling { seed: 1, temperature: 800, top_p: 900, top_k: 9 },
        stop: vec![],
        tokens: vec![5; 3],
    };
    let used: (fn(_, _) -> _, fn(_, _, _) -> _) = (Engine::new, Generation::start);
    std::hint::black_box((used, model.root(), Meter::new(&model, Options::default())));
    for backend in Backend::available() {
        assert!(
            !run(&model, &input, None, Options { backend, ..Options::default() }).unwrap().tokens.is_empty()
        );
    }

    // The check sees what it looks for.
    assert!(adds_floats(1.0, 2.0) > 2.5);
    let (found, seen) = float_functions(|name| name == "adds_floats");
    assert_eq!((found.len(), seen), (1, 1));

    // Chat templates know floats, as their language does, and are no part of the function.
    let (found, seen) = float_functions(|name| {
        (name.contains("assay_engine") || name.contains("assay_protocol")) && !name.contains("8template")
    });
    assert!(seen > 200, "only {seen} functions of the engine found");
    assert!(found.is_empty(), "{found:#?}");
    println!("{seen} functions of the engine, none with a floating-point instruction");
}
