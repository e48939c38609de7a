;; A component that knows nothing of `retake:flow`: functions of plain values, by themselves and in an interface, and one
;; that cannot be a flow.
(component
  (core module $code
    (memory (export "memory") 1)
    (global $top (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
      (global.set $top (i32.add (local.get $at) (local.get 3)))
      (local.get $at))
    (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    ;; result<s32, code>: odd numbers have no half, and negative ones are too small.
    (func (export "half") (param i32) (result i32)
      (if (i32.lt_s (local.get 0) (i32.const 0))
        (then (i32.store8 (i32.const 0) (i32.const 1)) (i32.store8 (i32.const 4) (i32.const 1)))
        (else (if (i32.and (local.get 0) (i32.const 1))
          (then (i32.store8 (i32.const 0) (i32.const 1)) (i32.store8 (i32.const 4) (i32.const 0)))
          (else (i32.store8 (i32.const 0) (i32.const 0))
                (i32.store (i32.const 4) (i32.shr_s (local.get 0) (i32.const 1)))))))
      (i32.const 0))
    ;; The text as it came.
    (func (export "echo") (param i32 i32) (result i32)
      (i32.store (i32.const 8) (local.get 0)) (i32.store (i32.const 12) (local.get 1)) (i32.const 8))
    ;; circle(f64) is 3 r², square({side}) side², and nothing is a number that is none.
    (func (export "area") (param i32 f64) (result f64)
      (if (result f64) (i32.eqz (local.get 0))
        (then (f64.mul (f64.const 3) (f64.mul (local.get 1) (local.get 1))))
        (else (if (result f64) (i32.eq (local.get 0) (i32.const 1))
          (then (f64.mul (local.get 1) (local.get 1)))
          (else (f64.const nan))))))
    ;; The sum of a list of u64, times the scale if there is one.
    (func (export "sum") (param i32 i32 i32 i32) (result i64)
      (local $sum i64)
      (block $done
        (loop $next
          (br_if $done (i32.eqz (local.get 1)))
          (local.set $sum (i64.add (local.get $sum) (i64.load (local.get 0))))
          (local.set 0 (i32.add (local.get 0) (i32.const 8)))
          (local.set 1 (i32.sub (local.get 1) (i32.const 1)))
          (br $next)))
      (if (result i64) (local.get 2)
        (then (i64.mul (local.get $sum) (i64.extend_i32_u (local.get 3))))
        (else (local.get $sum))))
    ;; Flags come back as they went in; so do two more kinds beside them, in a tuple.
    (func (export "pack") (param i32 i32) (result i32)
      (i32.store8 (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1)) (i32.const 16))
    (func (export "spin") (loop $again (br $again)))
    (func (export "close") (param i32)))
  (core instance $i (instantiate $code))
  (alias core export $i "memory" (core memory $memory))
  (alias core export $i "realloc" (core func $realloc))

  (func $add (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add")))
  (export "add" (func $add))

  (type $code-kind (enum "odd" "too-small"))
  (export $code-type "code" (type $code-kind))
  (func $half (param "n" s32) (result (result s32 (error $code-type)))
    (canon lift (core func $i "half") (memory (core memory $memory))))
  (export "half" (func $half))

  (func $echo (param "text" string) (result string)
    (canon lift (core func $i "echo") (memory (core memory $memory)) (realloc (core func $realloc))))
  (export "echo" (func $echo))

  (type $square-kind (record (field "side" f64)))
  (export $square "square" (type $square-kind))
  (type $shape-kind (variant (case "circle" f64) (case "square" $square) (case "nothing")))
  (export $shape "shape" (type $shape-kind))
  (func $area (param "shape" $shape) (result f64) (canon lift (core func $i "area")))
  (export "area" (func $area))

  (type $set-kind (flags "read" "write" "run"))
  (export $set "set" (type $set-kind))
  (func $pack (param "what" $set) (param "letter" char) (result (tuple $set char))
    (canon lift (core func $i "pack") (memory (core memory $memory))))
  (export "pack" (func $pack))

  (func $spin (canon lift (core func $i "spin")))
  (export "spin" (func $spin))

  (type $handle-kind (resource (rep i32)))
  (export $handle "handle" (type $handle-kind))
  (func $close (param "it" (own $handle)) (canon lift (core func $i "close")))
  (export "close" (func $close))

  (func $sum (param "of" (list u64)) (param "scale" (option u8)) (result u64)
    (canon lift (core func $i "sum") (memory (core memory $memory)) (realloc (core func $realloc))))
  (instance $math (export "sum" (func $sum)) (export "add" (func $add)))
  (export "demo:math/lists@1.2.0" (instance $math))
)
