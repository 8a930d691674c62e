! Trained closures of lacuna in Fortran: the functions of lacuna.h, and fields as arrays w(n, n) with y first.
module lacuna
  use, intrinsic :: iso_c_binding
  implicit none
  private
  public :: closure_open, closure_close, closure_grid, closure_seed, closure_sample, closure_mean, closure_fluctuation
  public :: closure_error, closure_t

  ! A trained closure with a random stream of its own.
  type :: closure_t
    private
    type(c_ptr) :: model = c_null_ptr
  end type

  ! A field h made of a field w at time t.
  abstract interface
    function of_field(model, n, w, t, h) bind(c) result(status)
      import :: c_ptr, c_int, c_double
      type(c_ptr), value :: model
      integer(c_int), value :: n
      real(c_double), intent(in) :: w(*)
      real(c_double), value :: t
      real(c_double), intent(out) :: h(*)
      integer(c_int) :: status
    end function
  end interface
  procedure(of_field), bind(c, name="lacuna_sample") :: c_sample
  procedure(of_field), bind(c, name="lacuna_mean") :: c_mean

  interface
    function c_open(path) bind(c, name="lacuna_open") result(model)
      import :: c_ptr, c_char
      character(kind=c_char), intent(in) :: path(*)
      type(c_ptr) :: model
    end function
    subroutine c_close(model) bind(c, name="lacuna_close")
      import :: c_ptr
      type(c_ptr), value :: model
    end subroutine
    function c_grid(model) bind(c, name="lacuna_grid") result(n)
      import :: c_ptr, c_int
      type(c_ptr), value :: model
      integer(c_int) :: n
    end function
    function c_seed(model, seed, path) bind(c, name="lacuna_seed") result(status)
      import :: c_ptr, c_int, c_int64_t, c_char
      type(c_ptr), value :: model
      integer(c_int64_t), value :: seed
      character(kind=c_char), intent(in) :: path(*)
      integer(c_int) :: status
    end function
    function c_fluctuation(model, n, w, t, mean, h) bind(c, name="lacuna_fluctuation") result(status)
      import :: c_ptr, c_int, c_double
      type(c_ptr), value :: model
      integer(c_int), value :: n
      real(c_double), intent(in) :: w(*), mean(*)
      real(c_double), value :: t
      real(c_double), intent(out) :: h(*)
      integer(c_int) :: status
    end function
    function c_last_error() bind(c, name="lacuna_last_error") result(text)
      import :: c_ptr
      type(c_ptr) :: text
    end function
    function c_strlen(text) bind(c, name="strlen") result(length)
      import :: c_ptr, c_size_t
      type(c_ptr), value :: text
      integer(c_size_t) :: length
    end function
  end interface

contains

  ! Opens a checkpoint; .false. if that fails, and closure_error() says why.
  logical function closure_open(closure, path)
    type(closure_t), intent(out) :: closure
    character(*), intent(in) :: path
    closure%model = c_open(trim(path) // c_null_char)
    closure_open = c_associated(closure%model)
  end function

  subroutine closure_close(closure)
    type(closure_t), intent(inout) :: closure
    call c_close(closure%model)
    closure%model = c_null_ptr
  end subroutine

  ! Points per side of the fields.
  integer function closure_grid(closure)
    type(closure_t), intent(in) :: closure
    closure_grid = c_grid(closure%model)
  end function

  ! Begins the stream `path` of the seed tree of `seed`, as in "rollout/0" for member 0 of an ensemble.
  logical function closure_seed(closure, seed, path)
    type(closure_t), intent(in) :: closure
    integer(c_int64_t), intent(in) :: seed
    character(*), intent(in) :: path
    closure_seed = c_seed(closure%model, seed, trim(path) // c_null_char) == 0
  end function

  ! A draw of H given the vorticity w at time t.
  logical function closure_sample(closure, w, t, h)
    type(closure_t), intent(in) :: closure
    real(c_double), intent(in), contiguous :: w(:, :)
    real(c_double), intent(in) :: t
    real(c_double), intent(out), contiguous :: h(:, :)
    closure_sample = c_sample(closure%model, side(w, w, h), w, t, h) == 0
  end function

  ! The conditional mean of H.
  logical function closure_mean(closure, w, t, h)
    type(closure_t), intent(in) :: closure
    real(c_double), intent(in), contiguous :: w(:, :)
    real(c_double), intent(in) :: t
    real(c_double), intent(out), contiguous :: h(:, :)
    closure_mean = c_mean(closure%model, side(w, w, h), w, t, h) == 0
  end function

  ! A draw of H less its conditional mean.
  logical function closure_fluctuation(closure, w, t, mean, h)
    type(closure_t), intent(in) :: closure
    real(c_double), intent(in), contiguous :: w(:, :), mean(:, :)
    real(c_double), intent(in) :: t
    real(c_double), intent(out), contiguous :: h(:, :)
    closure_fluctuation = c_fluctuation(closure%model, side(w, mean, h), w, t, mean, h) == 0
  end function

  ! Points per side of fields that are square and alike, or else 0, which no closure takes.
  integer(c_int) function side(a, b, c)
    real(c_double), intent(in) :: a(:, :), b(:, :), c(:, :)
    integer :: n
    n = size(a, 1)
    side = 0
    if (all([shape(a), shape(b), shape(c)] == n)) side = int(n, c_int)
  end function

  ! What went wrong last in this thread.
  function closure_error() result(text)
    character(:), allocatable :: text
    character(kind=c_char), pointer :: bytes(:)
    type(c_ptr) :: found
    integer :: i
    found = c_last_error()
    call c_f_pointer(found, bytes, [c_strlen(found)])
    allocate(character(size(bytes)) :: text)
    do i = 1, size(bytes)
      text(i:i) = bytes(i)
    end do
  end function

end module
